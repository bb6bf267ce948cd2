import { open, readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../src/core/digest.ts';
import { jsonDocument } from '../../src/oci/compose.ts';
import { LayoutStore } from '../../src/oci/layout.ts';
import { parseManifest } from '../../src/oci/parse-manifest.ts';
import { absPath } from '../../src/core/paths.ts';
import { attachmentTag } from '../../src/oci/attachment-tag.ts';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { requires } from '../rig/gates.ts';
import { buildSample, makeKey } from '../rig/sample-build.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { blobPath, readManifest } from '../rig/tree-listing.ts';

const EXIT = { usage: 2, integrity: 7 } as const;
const PASSWORD = 'of the key';
const DEMAND = ['--require-signature', '--key', 'sign.pub'];

async function makeKeys(rig: StkRig): Promise<void> {
  for (const name of ['sign', 'other']) {
    const { privateKey, publicKey } = makeKey(PASSWORD);
    await rig.write(`${name}.key`, privateKey);
    await rig.write(`${name}.pub`, publicKey);
  }
}

/** The built sample, with `app` signed. */
async function openSigned(flags: readonly string[] = []): Promise<StkRig> {
  const rig = await StkRig.open();
  await buildSample(rig, flags);
  await makeKeys(rig);
  await rig.ok(['sign', 'app', '--key', 'sign.key']);
  return rig;
}

function layoutOf(rig: StkRig, name = 'oci'): Promise<LayoutStore> {
  return LayoutStore.open(absPath(rig.path(name), '/'));
}

async function digestOfTag(rig: StkRig, tag: string): Promise<Digest> {
  const store = await layoutOf(rig);
  return (await store.resolve(tag))!.digest;
}

async function policyOf(rig: StkRig, requirement: object): Promise<void> {
  await rig.write('policy.json', { default: [{ type: 'reject' }], transports: { oci: { '': [requirement] } } });
}

const signedBy = (rig: StkRig, identity: object) => {
  return { type: 'sigstoreSigned', keyPath: rig.path('sign.pub'), signedIdentity: identity };
};

describe('mount --require-signature', () => {
  requires('root', 'fuse', 'kernel-squashfs', 'tool:fuse-overlayfs', 'tool:squashfuse_ll');

  const wishes: readonly (readonly [string, readonly string[], number])[] = [
    ['the key that signed', DEMAND, 0],
    ['a key alone, which demands as well', ['--key', 'sign.pub'], 0],
    ['one of two keys', ['--require-signature', '--key', 'other.pub', '--key', 'sign.pub'], 0],
    ['the name that was signed', [...DEMAND, '--identity', 'app'], 0],
    ['another name', [...DEMAND, '--identity', 'tool'], EXIT.integrity],
    ['another key', ['--require-signature', '--key', 'other.pub'], EXIT.integrity],
    ['neither key nor policy', ['--require-signature'], EXIT.usage],
    ['a name alone', ['--identity', 'app'], EXIT.usage],
    ['a demand without checked blocks', [...DEMAND, '--verify', 'off'], EXIT.usage],
  ];

  it('mounts what is signed as its flags demand', async () => {
    await using rig = await openSigned();
    for (const [wish, flags, expected] of wishes) {
      const { exitCode, stdout } = await rig.stk(['mount', 'app', 'm', ...flags]);
      expect({ wish, exitCode }).toEqual({ wish, exitCode: expected });
      expect((await rig.ok(['mounts'])).includes(rig.path('m'))).toBe(exitCode === 0);
      if (exitCode !== 0) continue;
      expect(stdout).toContain('blocks checked by');
      await rig.ok(['umount', 'm']);
    }
  });

  it('reaches from the signature to every byte', async () => {
    await using rig = await openSigned();
    const { layers } = await readManifest(rig.path('oci'), 'app');
    const data = await readFile(rig.path('root/data'));
    const blobs = layers.map(layer => blobPath(rig.path('oci'), layer.digest));
    for (const file of blobs) {
      const place = (await readFile(file)).indexOf(data.subarray(200_000, 200_100));
      if (place < 0) continue;
      const handle = await open(file, 'r+');
      await handle.write(Buffer.from([data[200_000]! ^ 1]), 0, 1, place);
      await handle.close();
    }
    await rig.ok(['mount', 'app', 'm', ...DEMAND]);
    const read = await execa('cat', [rig.path('m/data')], { reject: false });
    expect(read).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('Input/output error') as string });
    expect(await readFile(rig.path('m/etc/base'), 'utf8')).toBe('base\n');
    await rig.ok(['umount', 'm']);
  });

  it('refuses layers without root hash, whoever signed them', async () => {
    await using rig = await openSigned(['--no-verity']);
    const refused = await rig.stk(['mount', 'app', 'm', ...DEMAND]);
    expect(refused).toMatchObject({ exitCode: EXIT.integrity });
    expect(refused.stderr).toContain('root hash');
    await rig.ok(['mount', 'app', 'm']);
    // What stands there is not what is demanded now.
    expect(await rig.stk(['mount', 'app', 'm', ...DEMAND])).toMatchObject({ exitCode: EXIT.integrity });
    await rig.ok(['umount', 'm']);
  });

  it('refuses a tag that moved, and a signature that is gone or of something else', async () => {
    await using rig = await openSigned();
    const layout = await layoutOf(rig);
    const app = (await layout.resolve('app'))!;
    const tool = (await layout.resolve('tool'))!;
    await layout.tag({ mediaType: tool.mediaType, digest: tool.digest, size: tool.size }, 'app');
    const mount = ['mount', 'app', 'm', ...DEMAND];
    expect(await rig.stk(mount)).toMatchObject({ exitCode: EXIT.integrity });
    const signature = (await layout.resolve(attachmentTag(app.digest, 'sig')))!;
    const { mediaType, digest, size } = signature;
    await layout.tag({ mediaType, digest, size }, attachmentTag(tool.digest, 'sig'));
    expect((await rig.stk(mount)).stderr).toContain(`one is for ${app.digest}`);
    await rig.ok(['sign', 'app', '--key', 'sign.key']);
    await rig.ok(mount);
    await rig.ok(['umount', 'm']);
    await layout.untag(attachmentTag(tool.digest, 'sig'));
    for (const { digest: referrer } of await layout.referrers(tool.digest)) {
      await execa('rm', [blobPath(rig.path('oci'), referrer)]);
    }
    expect((await rig.stk(mount)).stderr).toContain('no signature');
  });

  it('takes a signature of an index for its images, and one of an image not for the index', async () => {
    await using rig = await openSigned();
    const layout = await layoutOf(rig);
    const { mediaType, digest, size } = (await layout.resolve('app'))!;
    const platform = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch };
    const type = 'application/vnd.oci.image.index.v1+json';
    const manifests = [{ mediaType, digest, size, platform }];
    const index = jsonDocument({ schemaVersion: 2, mediaType: type, manifests }, type);
    await layout.putManifest(index, 'multi');
    const mount = ['mount', 'multi', 'm', ...DEMAND];
    expect(await rig.stk(mount)).toMatchObject({ exitCode: EXIT.integrity });
    await rig.ok(['sign', 'multi', '--key', 'sign.key']);
    await rig.ok(mount);
    await rig.ok(['umount', 'm']);
  });

  it('obeys a policy, and demands more than a policy that lets everything pass', async () => {
    await using rig = await openSigned();
    const mount = async (tag: string, ...flags: readonly string[]) => {
      const { exitCode } = await rig.stk(['mount', tag, 'm', '--policy', 'policy.json', ...flags]);
      if (exitCode === 0) await rig.ok(['umount', 'm']);
      return exitCode;
    };
    await policyOf(rig, signedBy(rig, { type: 'exactReference', dockerReference: 'app' }));
    expect([await mount('app'), await mount('tool')]).toEqual([0, EXIT.integrity]);
    await policyOf(rig, signedBy(rig, { type: 'exactReference', dockerReference: 'other' }));
    expect(await mount('app')).toBe(EXIT.integrity);
    await policyOf(rig, { type: 'insecureAcceptAnything' });
    expect([await mount('tool'), await mount('tool', '--require-signature')]).toEqual([0, EXIT.integrity]);
    expect(await mount('app', '--key', 'sign.pub')).toBe(0);
    expect(await mount('tool', '--key', 'sign.pub')).toBe(EXIT.integrity);
  });
});

describe('build --require-signature', () => {
  requires('overlay', 'registry');

  async function writeRecipe(rig: StkRig, base: object): Promise<void> {
    await rig.write('file', 'of web\n');
    await rig.write('web.yaml', { web: { from: base, imports: [{ path: 'file', dest: '/etc/' }] } });
  }

  const build = ['build', '-f', 'web.yaml', ...DEMAND];

  it('refuses a base of a layout that is not signed, in cached builds, too', async () => {
    await using rig = await openSigned();
    await rig.ok(['publish', 'app', 'oci:bases:app', '--referrers']);
    await rig.ok(['publish', 'tool', 'oci:bases:tool']);
    await writeRecipe(rig, { type: 'oci', url: 'bases:tool' });
    expect(await rig.stk(build)).toMatchObject({ exitCode: EXIT.integrity, stdout: '' });
    await writeRecipe(rig, { type: 'oci', url: 'bases:app' });
    const built = await rig.ok(build);
    expect(await rig.ok(build)).toBe(built);
    const other = ['build', '-f', 'web.yaml', '--require-signature', '--key', 'other.pub'];
    expect(await rig.stk(other)).toMatchObject({ exitCode: EXIT.integrity, stdout: '' });
    const layout = await layoutOf(rig, 'bases');
    const digest = (await layout.resolve('app'))!.digest;
    await layout.untag(attachmentTag(digest, 'sig'));
    for (const { digest: referrer } of await layout.referrers(digest)) {
      await execa('rm', [blobPath(rig.path('bases'), referrer)]);
    }
    expect(await rig.stk(build)).toMatchObject({ exitCode: EXIT.integrity, stdout: '' });
    expect(await rig.ok(['build', '-f', 'web.yaml'])).toBe(built);
  });

  it('uses the very manifest of a registry that it has checked', async () => {
    await using rig = await openSigned();
    await using fake = await FakeRegistry.start({ referrersApi: true });
    const place = `docker://${fake.host}/team/app:1`;
    await rig.ok(['publish', 'app', place]);
    const recipe = { type: 'docker', url: place };
    await writeRecipe(rig, recipe);
    expect(await rig.stk(build)).toMatchObject({ exitCode: EXIT.integrity, stdout: '' });
    await rig.ok(['sign', place, '--key', 'sign.key']);
    fake.requests.length = 0;
    await rig.ok(build);
    // Once before the namespaces and once inside them; each time everything else is asked for by digest.
    expect(fake.count(/^GET \/v2\/team\/app\/manifests\/1$/)).toBe(2);
    expect(fake.count(/^HEAD \/v2\/team\/app\/manifests\/1$/)).toBe(0);
    const { annotations } = (await readManifest(rig.path('oci'), 'web')) as { annotations?: Record<string, string> };
    expect(annotations?.['org.opencontainers.image.base.digest']).toBe(await digestOfTag(rig, 'app'));
    // The same repository, a tag that nobody signed.
    await rig.ok(['publish', 'tool', `docker://${fake.host}/team/app:2`]);
    await writeRecipe(rig, { ...recipe, url: `docker://${fake.host}/team/app:2` });
    expect(await rig.stk(build)).toMatchObject({ exitCode: EXIT.integrity, stdout: '' });
  });

  it('refuses to apply an image that is not signed', async () => {
    await using rig = await openSigned();
    await rig.ok(['publish', 'app', 'oci:bases:app', '--referrers']);
    await rig.ok(['publish', 'tool', 'oci:bases:tool']);
    await rig.write('web.yaml', {
      web: { from: { type: 'oci', url: 'bases:app' }, apply: [{ image: 'oci:bases:tool', base: 'any' }] },
    });
    const refused = await rig.stk(build);
    expect(refused).toMatchObject({ exitCode: EXIT.integrity, stdout: '' });
    expect(refused.stderr).toContain(await digestOfTag(rig, 'tool'));
    await rig.ok(['sign', 'oci:bases:tool', '--key', 'sign.key']);
    await rig.ok(build);
  });

  it('refuses a signed base under a name that it was not signed for', async () => {
    await using rig = await openSigned();
    await using registry = await rig.registry();
    await rig.ok(['publish', 'app', `docker://${registry.host}/signed:1`, '--sign-key', 'sign.key']);
    await rig.ok(['publish', `docker://${registry.host}/signed:1`, `docker://${registry.host}/copy:1`, '--referrers']);
    await writeRecipe(rig, { type: 'docker', url: `docker://${registry.host}/copy:1` });
    expect(await rig.stk(build)).toMatchObject({ exitCode: EXIT.integrity });
    await rig.ok([...build, '--identity', `${registry.host}/signed`]);
  });
});

describe('publish and convert', () => {
  requires('overlay', 'registry');

  it('move nothing on that is not signed', async () => {
    await using rig = await openSigned();
    for (const command of ['publish', 'convert']) {
      const tool = await rig.stk([command, 'tool', `oci:${command}:tool`, ...DEMAND]);
      expect(tool).toMatchObject({ exitCode: EXIT.integrity, stdout: '' });
      await rig.ok([command, 'app', `oci:${command}:app`, ...DEMAND]);
    }
    const layout = await layoutOf(rig, 'publish');
    expect(await layout.tags()).toEqual(['app']);
    const { bytes } = await layout.readManifest('app');
    expect([digestOf(bytes), parseManifest(bytes, 'app').kind]).toEqual([await digestOfTag(rig, 'app'), 'manifest']);
    // Of the images of a recipe, as of any other.
    expect(await rig.stk(['publish', 'oci:all', ...DEMAND])).toMatchObject({ exitCode: EXIT.integrity });
    await rig.ok(['sign', 'tool', '--key', 'sign.key']);
    await rig.ok(['publish', 'oci:all', ...DEMAND]);
    expect(await rig.stk(['publish', 'docker-archive:none.tar', 'oci:all:x', ...DEMAND])).toMatchObject({
      exitCode: 8,
    });
  });
});
