import { readFile, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { AsyncScope } from '../../src/core/async-scope.ts';
import { digestOf, type Digest } from '../../src/core/digest.ts';
import { HttpClient } from '../../src/host/http.ts';
import type { Manifest } from '../../src/oci/descriptor.ts';
import { parseRegistryReference } from '../../src/oci/reference.ts';
import { attachmentTag } from '../../src/oci/attachment-tag.ts';
import { isRepositoryIdentity, verifySignature } from '../../src/signing/verify-signature.ts';
import { parseVerifyKey } from '../../src/signing/signing-key.ts';
import { RegistryStore } from '../../src/registry/registry-store.ts';
import { requires } from '../rig/gates.ts';
import { buildSample, makeKey } from '../rig/sample-build.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('overlay', 'registry', 'tool:skopeo');

const PASSWORD = 'of the key';

/** Fetches the signature image with skopeo and lets OpenSSL check what is in it. */
async function opensslVerifies(rig: StkRig, repository: string, digest: Digest, publicKey: string): Promise<string> {
  const directory = rig.path(`fetched-${digest.slice(7, 19)}`);
  const image = `docker://${repository}:${attachmentTag(digest, 'sig')}`;
  await execa('skopeo', ['copy', '--src-tls-verify=false', image, `dir:${directory}`]);
  const manifest = JSON.parse(await readFile(`${directory}/manifest.json`, 'utf8')) as Manifest;
  const [layer] = manifest.layers;
  expect(layer?.mediaType).toBe('application/vnd.dev.cosign.simplesigning.v1+json');
  const payload = `${directory}/${layer!.digest.slice(7)}`;
  const signature = layer!.annotations!['dev.cosignproject.cosign/signature']!;
  await writeFile(`${directory}/signature`, Buffer.from(signature, 'base64'));
  await writeFile(`${directory}/key`, publicKey);
  const flags = ['-sha256', '-verify', `${directory}/key`, '-signature', `${directory}/signature`, payload];
  const result = await execa('openssl', ['dgst', ...flags], { reject: false });
  const { critical } = JSON.parse(await readFile(payload, 'utf8')) as {
    critical: { image: Record<string, string>; identity: Record<string, string> };
  };
  expect(critical.image['docker-manifest-digest']).toBe(digest);
  expect(critical.identity['docker-reference']).toBe(repository);
  return result.stdout;
}

async function publishTo(rig: StkRig, tag: string, reference: string): Promise<Digest> {
  return (await rig.ok(['publish', tag, reference])).trim().split(' ')[1] as Digest;
}

async function verified(reference: string, publicKey: string): Promise<readonly string[]> {
  await using scope = new AsyncScope();
  const { host, repository, tag } = parseRegistryReference(reference);
  const store = new RegistryStore({ client: scope.use(new HttpClient()), host, repository });
  const descriptor = await store.resolve(tag!);
  const acceptsIdentity = (identity: string) => isRepositoryIdentity(identity, `${host}/${repository}`);
  const found = await verifySignature(store, descriptor!.digest, {
    keys: [parseVerifyKey(publicKey)],
    acceptsIdentity,
  });
  return found.map(({ identity }) => identity);
}

it('signs in the format of cosign, so that nothing but the signed image passes', async () => {
  await using rig = await StkRig.open();
  await using registry = await rig.registry();
  const repository = `${registry.host}/team/app`;
  const key = makeKey(PASSWORD);
  await buildSample(rig);
  await rig.write('sign.key', key.privateKey);
  await rig.write('sign.pub', key.publicKey);
  const reference = `docker://${repository}:v1`;
  const digest = await publishTo(rig, 'app', reference);
  const verify = ['verify', reference, '--key', 'sign.pub'];
  expect(await rig.stk(verify)).toMatchObject({
    exitCode: 7,
    stderr: expect.stringContaining('no signature') as string,
  });
  expect(await rig.ok(['sign', reference, '--key', 'sign.key'])).toContain(`signed as ${repository}`);
  expect(await opensslVerifies(rig, repository, digest, key.publicKey)).toBe('Verified OK');
  expect(await rig.ok(verify)).toContain(`is signed as ${repository}`);
  await rig.ok(['sign', reference, '--key', 'sign.key']);
  expect(await verified(reference, key.publicKey)).toHaveLength(1);

  const other = makeKey(PASSWORD);
  await rig.write('other.pub', other.publicKey);
  expect(await rig.stk(['verify', reference, '--key', 'other.pub'])).toMatchObject({ exitCode: 7 });
  await rig.ok(['verify', reference, '--key', 'other.pub', '--key', 'sign.pub']);

  // The signature of one image beside another.
  const forged = await publishTo(rig, 'tool', `docker://${repository}:forged`);
  const place = (of: Digest) => `docker://${repository}:${attachmentTag(of, 'sig')}`;
  await rig.ok(['publish', place(digest), place(forged)]);
  await expect(verified(`docker://${repository}:forged`, key.publicKey)).rejects.toMatchObject({
    code: 'integrity',
    message: expect.stringContaining(`one is for ${digest}`) as string,
  });
  // Signed, but carried to another repository: its name there was never signed.
  const elsewhere = `docker://${registry.host}/elsewhere:v1`;
  await rig.ok(['publish', reference, elsewhere, '--referrers']);
  expect(await rig.stk(['verify', elsewhere, '--key', 'sign.pub'])).toMatchObject({ exitCode: 7 });
  await rig.ok(['verify', elsewhere, '--key', 'sign.pub', '--identity', repository]);
});

it('verifies what OpenSSL signed and skopeo pushed', async () => {
  await using rig = await StkRig.open();
  await using registry = await rig.registry();
  const key = makeKey(PASSWORD);
  await buildSample(rig);
  await rig.write('key', key.privateKey);
  const repository = `${registry.host}/by/others`;
  const digest = await publishTo(rig, 'app', `docker://${repository}:v1`);
  const critical = {
    identity: { 'docker-reference': `${repository}:v1` },
    image: { 'docker-manifest-digest': digest },
    type: 'cosign container image signature',
  };
  const payload = JSON.stringify({ critical, optional: { creator: 'others', timestamp: 1 } });
  await rig.write('payload', payload);
  await execa('openssl', ['dgst', '-sha256', '-sign', rig.path('key'), '-out', rig.path('sig'), rig.path('payload')]);
  const signature = (await readFile(rig.path('sig'))).toString('base64');
  const config = JSON.stringify({
    architecture: '',
    os: '',
    rootfs: { type: 'layers', diff_ids: [digestOf(payload)] },
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: digestOf(config),
      size: config.length,
    },
    layers: [
      {
        mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
        digest: digestOf(payload),
        size: payload.length,
        annotations: { 'dev.cosignproject.cosign/signature': signature },
      },
    ],
  });
  for (const blob of [payload, config]) await rig.write(`signature/${digestOf(blob).slice(7)}`, blob);
  await rig.write('signature/manifest.json', manifest);
  await rig.write('signature/version', 'Directory Transport Version: 1.1\n');
  const place = `docker://${repository}:${attachmentTag(digest, 'sig')}`;
  await execa('skopeo', ['copy', '--dest-tls-verify=false', `dir:${rig.path('signature')}`, place]);
  expect(await verified(`docker://${repository}:v1`, key.publicKey)).toEqual([`${repository}:v1`]);

  await rig.write('key.pub', key.publicKey);
  const policy = (requirement: object) => ({
    default: [{ type: 'reject' }],
    transports: { docker: { [registry.host]: [requirement] } },
  });
  const signed = { type: 'sigstoreSigned', keyPath: rig.path('key.pub') };
  const check = ['verify', `docker://${repository}:v1`, '--policy', 'policy.json'];
  await rig.write('policy.json', policy(signed));
  await rig.ok(check);
  await rig.write(
    'policy.json',
    policy({ ...signed, signedIdentity: { type: 'exactRepository', dockerRepository: 'x/y' } }),
  );
  expect(await rig.stk(check)).toMatchObject({ exitCode: 7 });
  await rig.write('policy.json', { default: [{ type: 'reject' }] });
  expect(await rig.stk(check)).toMatchObject({ exitCode: 7 });
  await rig.write('policy.json', policy({ type: 'signedBy', keyType: 'GPGKeys' }));
  expect(await rig.stk(check)).toMatchObject({ exitCode: 9 });
});

it('opens keys that cosign encrypted, and signs before a tag moves', async () => {
  await using rig = await StkRig.open();
  await using registry = await rig.registry();
  const key = makeKey(PASSWORD);
  await buildSample(rig);
  await writeFile(rig.path('cosign.key'), key.cosignKey, { mode: 0o600 });
  const target = `docker://${registry.host}/prod`;
  const publish = ['publish', target, '--tag', '1', '--sign-key', 'cosign.key'];
  const wrong = await rig.stk(publish, { env: { STK_KEY_PASSWORD: 'not it' } });
  expect(wrong).toMatchObject({ exitCode: 9, stdout: '' });
  expect(wrong.stderr).not.toContain('not it');
  expect(await rig.stk(publish)).toMatchObject({ exitCode: 2 });
  await rig.ok(publish, { env: { COSIGN_PASSWORD: PASSWORD } });
  for (const name of ['app', 'tool']) {
    expect(await verified(`${target}/${name}:1`, key.publicKey)).toEqual([`${registry.host}/prod/${name}`]);
  }
});
