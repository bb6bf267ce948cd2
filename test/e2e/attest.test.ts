import { createPublicKey, verify } from 'node:crypto';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { DockerRegistry } from '../rig/docker-registry.ts';
import { requires } from '../rig/gates.ts';
import { buildSample, makeKey, rawManifest } from '../rig/sample-build.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('userns', 'fuse', 'overlay');

const PROVENANCE = 'https://slsa.dev/provenance/v1';
const pair = makeKey('');

async function keys(rig: StkRig): Promise<void> {
  await rig.write('key', pair.privateKey, 0o644);
  await rig.write('key.pub', pair.publicKey);
  await rig.write('other.pub', makeKey('').publicKey);
}

interface Row {
  readonly digest: string;
  readonly mediaType: string;
  readonly predicateType?: string;
  readonly signatures: number;
}

async function rows(rig: StkRig, image: string, ...flags: readonly string[]): Promise<readonly Row[]> {
  const text = await rig.ok(['attestations', image, '--json', ...flags]);
  return text.split('\n').flatMap(line => (line === '' ? [] : [JSON.parse(line) as Row]));
}

describe('a build', () => {
  it('keeps what is in an image and how it was built beside it, once, and nothing of a secret', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    await keys(rig);
    await rig.write('secret', 'planted-secret');
    await rig.write('stacker.yaml', {
      app: {
        from: 'scratch',
        imports: [{ path: 'package.json', dest: '/app/node_modules/a/' }],
        labels: { value: '${{VALUE}}' },
        build_env: { TOKEN: 'planted-${{VALUE}}' },
      },
    });
    await rig.write('package.json', { name: 'a', version: '1' });
    const args = ['build', '--sbom', '--provenance', '--sign-key', 'key', '--substitute', 'VALUE=planted-value'];
    await rig.ok(args);
    const first = await rows(rig, 'app');
    expect(first.map(({ mediaType, predicateType, signatures }) => [mediaType, predicateType, signatures])).toEqual(
      expect.arrayContaining([
        ['application/vnd.cyclonedx+json', undefined, 0],
        ['application/vnd.dev.sigstore.bundle.v0.3+json', 'https://cyclonedx.org/bom', 1],
        ['application/vnd.dev.sigstore.bundle.v0.3+json', PROVENANCE, 1],
      ]),
    );
    await rig.ok(args);
    expect(await rows(rig, 'app')).toEqual(first);
    const statement = await rig.ok(['attestations', 'app', '--type', 'slsaprovenance1', '--content']);
    expect(JSON.parse(statement)).toMatchObject({
      predicate: {
        buildDefinition: {
          externalParameters: { image: 'app', substitutions: ['VALUE'] },
          resolvedDependencies: [{ uri: 'file:package.json', digest: { sha256: expect.any(String) as string } }],
        },
      },
    });
    expect(await rig.ok(['attestations', 'app', '--content'])).not.toContain('planted-value');
    expect(
      (await execa('grep', ['-rl', 'planted-secret', rig.path('.stk'), rig.path('oci')], { reject: false })).stdout,
    ).toBe('');
  });
});

describe('a statement', () => {
  it('is verified by its key alone, by what it says, and by openssl', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    await keys(rig);
    await buildSample(rig);
    await rig.write('scan', { scanner: { name: 's' }, findings: [] });
    await rig.ok(['attest', 'app', '--predicate', 'scan', '--type', 'https://scan.example/v1', '--key', 'key']);
    const check = ['verify', 'app', '--attestation', 'https://scan.example/v1'];
    expect(await rig.ok([...check, '--key', 'key.pub'])).toContain('signed with key');
    await rig.write('demand', { scanner: { name: 's' } });
    await rig.ok([...check, '--key', 'key.pub', '--predicate-has', 'demand']);
    await rig.write('demand', { scanner: { name: 'another' } });
    expect((await rig.stk([...check, '--key', 'key.pub', '--predicate-has', 'demand'])).exitCode).toBe(7);
    expect((await rig.stk([...check, '--key', 'other.pub'])).exitCode).toBe(7);
    expect(
      (await rig.stk(['verify', 'tool', '--attestation', 'https://scan.example/v1', '--key', 'key.pub'])).exitCode,
    ).toBe(7);
    expect((await rig.stk(check)).exitCode).toBe(2);
    expect((await rig.stk(['verify', 'app', '--attestation', 'nonsense', '--key', 'key.pub'])).exitCode).toBe(2);
    const [row] = await rows(rig, 'app');
    const manifest = JSON.parse(await blobText(rig, row!.digest)) as {
      layers: { digest: string }[];
    };
    const bundle = JSON.parse(await blobText(rig, manifest.layers[0]!.digest)) as {
      dsseEnvelope: { payload: string; payloadType: string; signatures: { sig: string }[] };
    };
    const { payload, payloadType, signatures } = bundle.dsseEnvelope;
    const body = Buffer.from(payload, 'base64');
    const encoded = Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${body.length} `), body]);
    expect(verify('sha256', encoded, createPublicKey(pair.publicKey), Buffer.from(signatures[0]!.sig, 'base64'))).toBe(
      true,
    );
    await rig.write('encoded', encoded);
    await rig.write('sig', Buffer.from(signatures[0]!.sig, 'base64'));
    const openssl = [
      'dgst',
      '-sha256',
      '-verify',
      rig.path('key.pub'),
      '-signature',
      rig.path('sig'),
      rig.path('encoded'),
    ];
    expect((await execa('openssl', openssl)).stdout).toBe('Verified OK');
  });

  it('that is none is refused', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    await buildSample(rig);
    await rig.write('junk', '{');
    expect((await rig.stk(['attest', 'app', '--predicate', 'junk', '--type', 'vuln'])).exitCode).toBe(9);
    expect((await rig.stk(['attest', 'app', '--predicate', 'none', '--type', 'vuln'])).exitCode).toBe(8);
    expect((await rig.stk(['attest', 'app', '--predicate', 'junk'])).exitCode).toBe(2);
    expect((await rig.stk(['attest', 'app'])).exitCode).toBe(2);
  });
});

describe('documents on a registry', () => {
  requires('registry', 'tool:skopeo');

  it('come with publish, are found under the tag for lists of referrers, and are carried along', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    await using registry = await DockerRegistry.start();
    await keys(rig);
    await buildSample(rig);
    const [one, two] = ['one', 'two'].map(name => `docker://${registry.host}/${name}:1`) as [string, string];
    const tls = ['--tls-verify', 'false'];
    await rig.ok(['publish', 'app', one, ...tls, '--sbom', 'spdx', '--provenance', '--sign-key', 'key']);
    const { digest } = JSON.parse(
      (await execa('skopeo', ['inspect', '--tls-verify=false', one])).stdout.replace('"Digest"', '"digest"'),
    ) as { digest: string };
    const list = JSON.parse(
      await rawManifest(`${one.slice(0, -2)}:${digest.replace(':', '-')}`, ['--tls-verify=false']),
    ) as {
      manifests: { artifactType?: string }[];
    };
    expect(list.manifests.map(({ artifactType }) => artifactType)).toEqual(
      expect.arrayContaining(['application/spdx+json', 'application/vnd.dev.sigstore.bundle.v0.3+json']),
    );
    const there = await rows(rig, one, ...tls);
    expect(there.map(({ predicateType }) => predicateType)).toEqual(
      expect.arrayContaining([PROVENANCE, 'https://spdx.dev/Document']),
    );
    await rig.ok(['publish', one, two, ...tls, '--referrers']);
    expect((await rows(rig, two, ...tls)).map(row => row.digest).toSorted()).toEqual(
      there.map(row => row.digest).toSorted(),
    );
    await rig.ok(['verify', two, ...tls, '--attestation', 'slsaprovenance1', '--key', 'key.pub']);
  });

  it('of another machine’s build cannot be made', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    await using registry = await DockerRegistry.start();
    await buildSample(rig);
    const args = ['publish', 'app', `docker://${registry.host}/app:1`, '--tls-verify', 'false', '--provenance'];
    const { exitCode, stderr } = await rig.stk([...args, '--stk-dir', 'elsewhere']);
    expect([exitCode, stderr]).toEqual([8, expect.stringContaining('how')]);
  });
});

describe('an update', () => {
  it('keeps what it did, and has the packages of a rebuild', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    const recipe = (version: string) => ({
      base: { from: 'scratch', imports: [{ content: 'base', dest: '/base' }] },
      lib: {
        from: { type: 'built', tag: 'base' },
        imports: [{ content: JSON.stringify({ name: 'lib', version }), dest: '/app/node_modules/lib/package.json' }],
      },
      app: { from: { type: 'built', tag: 'base' }, apply: ['lib'], imports: [{ content: 'app', dest: '/app/main' }] },
    });
    await rig.write('stacker.yaml', recipe('1'));
    await rig.ok(['build']);
    expect(await rig.ok(['sbom', 'app', '--format', 'list'])).toBe('npm lib 1\n');
    await rig.write('stacker.yaml', recipe('2'));
    await rig.ok(['build', 'lib']);
    await rig.ok(['update', 'app', '--apply', 'lib', '--sbom', '--provenance', '--tag', 'updated']);
    const updated = await rig.ok(['sbom', 'updated', '--format', 'list', '--json']);
    const statement = await rig.ok(['attestations', 'updated', '--type', 'slsaprovenance1', '--content']);
    expect(JSON.parse(statement)).toMatchObject({
      predicate: { runDetails: { byproducts: [{ name: 'removed' }, { name: 'added' }] } },
    });
    await rig.ok(['build']);
    expect(await rig.ok(['sbom', 'app', '--format', 'list', '--json'])).toBe(updated);
  });
});

async function blobText(rig: StkRig, digest: string): Promise<string> {
  return (await execa('cat', [rig.path('oci/blobs/sha256', digest.slice('sha256:'.length))])).stdout;
}
