import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { AsyncScope } from '../../src/core/async-scope.ts';
import type { Digest } from '../../src/core/digest.ts';
import { HttpClient } from '../../src/host/http.ts';
import { parseRegistryReference } from '../../src/oci/reference.ts';
import { attachmentTag } from '../../src/oci/attachment-tag.ts';
import { checkPolicy, parsePolicy } from '../../src/signing/signature-policy.ts';
import { RegistryStore } from '../../src/registry/registry-store.ts';
import { requires } from '../rig/gates.ts';
import { newerTools, requiresNewerTools } from '../rig/newer-tools.ts';
import { buildSample, makeKey } from '../rig/sample-build.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('overlay', 'registry', 'tool:mmdebstrap');
requiresNewerTools();

const PASSWORD = 'of the key';

/** A peer's answer: it accepts or refuses; anything else is not what the test is about. */
type Verdict = 'accepted' | 'refused';

interface Peers {
  readonly rig: StkRig;
  readonly host: string;
  /** Runs skopeo with the rig's policy, looking for signatures beside images. */
  readonly skopeo: (policy: object, args: readonly string[]) => Promise<Verdict>;
  readonly cosign: (args: readonly string[]) => Promise<Verdict>;
  readonly publish: (tag: string, place: string) => Promise<Digest>;
}

async function openPeers(rig: StkRig, host: string): Promise<Peers> {
  const tools = await newerTools();
  await rig.write('registries.d/rig.yaml', { docker: { [host]: { 'use-sigstore-attachments': true } } });
  const env = { HOME: rig.path('home'), COSIGN_PASSWORD: PASSWORD, PATH: process.env['PATH'] ?? '' };
  const verdict = async (file: string, args: readonly string[], refusal: RegExp): Promise<Verdict> => {
    const result = await execa(file, args, { cwd: rig.directory, env, extendEnv: false, reject: false });
    if (!result.failed) return 'accepted';
    expect(result.stderr).toMatch(refusal);
    return 'refused';
  };
  return {
    rig,
    host,
    async skopeo(policy, args) {
      await rig.write('policy.json', policy);
      const flags = ['--registries.d', 'registries.d', '--policy', 'policy.json'];
      return verdict(tools.skopeo, [...flags, ...args], /Source image rejected/);
    },
    cosign: args => verdict(tools.cosign, args, /no matching signatures|no signatures found/),
    async publish(tag, place) {
      return (await rig.ok(['publish', tag, `docker://${host}/${place}`])).trim().split(' ')[1] as Digest;
    },
  };
}

const pull = (reference: string) => ['copy', '--src-tls-verify=false', `docker://${reference}`, 'dir:pulled'];

function demand(host: string, requirement: object): object {
  return { default: [{ type: 'reject' }], transports: { docker: { [host]: [requirement] } } };
}

it('cosign and skopeo accept what stk signed, and nothing else', async () => {
  await using rig = await StkRig.open();
  await using registry = await rig.registry();
  const { host, skopeo, cosign, publish } = await openPeers(rig, registry.host);
  await buildSample(rig);
  const [key, other] = [makeKey(PASSWORD), makeKey(PASSWORD)];
  await rig.write('sign.key', key.privateKey);
  await rig.write('sign.pub', key.publicKey);
  await rig.write('other.pub', other.publicKey);
  const signed = await publish('app', 'team/app:1');
  await rig.ok(['sign', `docker://${host}/team/app:1`, '--key', 'sign.key']);
  const policy = (file: string) => {
    const requirement = { type: 'sigstoreSigned', keyPath: rig.path(file) };
    return demand(host, { ...requirement, signedIdentity: { type: 'matchRepository' } });
  };
  const verify = (file: string, reference: string) => {
    return ['verify', '--key', file, '--insecure-ignore-tlog', '--allow-insecure-registry', reference];
  };
  expect(await skopeo(policy('sign.pub'), pull(`${host}/team/app:1`))).toBe('accepted');
  expect(await cosign(verify('sign.pub', `${host}/team/app:1`))).toBe('accepted');
  expect(await skopeo(policy('other.pub'), pull(`${host}/team/app:1`))).toBe('refused');
  expect(await cosign(verify('other.pub', `${host}/team/app:1`))).toBe('refused');
  // The tag moves on to something that nobody signed.
  const unsigned = await publish('tool', 'team/app:1');
  expect(await skopeo(policy('sign.pub'), pull(`${host}/team/app:1`))).toBe('refused');
  expect(await cosign(verify('sign.pub', `${host}/team/app:1`))).toBe('refused');
  // The signature of another image is put beside it.
  const place = (digest: Digest) => `docker://${host}/team/app:${attachmentTag(digest, 'sig')}`;
  await rig.ok(['publish', place(signed), place(unsigned)]);
  expect(await skopeo(policy('sign.pub'), pull(`${host}/team/app:1`))).toBe('refused');
  expect(await cosign(verify('sign.pub', `${host}/team/app:1`))).toBe('refused');
  const ours = ['verify', `docker://${host}/team/app:1`, '--key', 'sign.pub'];
  expect(await rig.stk(ours)).toMatchObject({ exitCode: 7 });
});

it('accepts what cosign and skopeo signed, with keys that they made', async () => {
  await using rig = await StkRig.open();
  await using registry = await rig.registry();
  const { host, skopeo, cosign, publish } = await openPeers(rig, registry.host);
  await buildSample(rig);
  expect(await cosign(['generate-key-pair', '--output-key-prefix', 'made'])).toBe('accepted');
  await rig.write('passphrase', PASSWORD);
  const sample = `docker://${host}/by/skopeo:1`;
  const anything = { default: [{ type: 'insecureAcceptAnything' }] };
  const sign = ['--sign-by-sigstore-private-key', 'made.key', '--sign-passphrase-file', 'passphrase'];
  const copied = await skopeo(anything, ['copy', '--dest-tls-verify=false', ...sign, 'oci:oci:app', sample]);
  expect(copied).toBe('accepted');
  expect(await rig.ok(['verify', sample, '--key', 'made.pub'])).toContain(`signed as ${host}/by/skopeo:1`);

  const digest = await publish('app', 'by/cosign:1');
  const flags = ['--yes', '--tlog-upload=false', '--allow-insecure-registry'];
  expect(await cosign(['sign', ...flags, '--key', 'made.key', `${host}/by/cosign@${digest}`])).toBe('accepted');
  expect(await rig.ok(['verify', `docker://${host}/by/cosign:1`, '--key', 'made.pub'])).toContain('is signed as');
  // A second signature beside it, made by stk with cosign's key, leaves cosign's in place.
  const env = { COSIGN_PASSWORD: PASSWORD };
  const again = ['sign', `docker://${host}/by/cosign:1`, '--key', 'made.key', '--identity', 'example.com/more'];
  await rig.ok(again, { env });
  const verify = ['verify', '--key', 'made.pub', '--insecure-ignore-tlog', '--allow-insecure-registry'];
  expect(await cosign([...verify, `${host}/by/cosign:1`])).toBe('accepted');
  const named = ['verify', `docker://${host}/by/cosign:1`, '--key', 'made.pub', '--identity'];
  await rig.ok([...named, `${host}/by/cosign`]);
  await rig.ok([...named, 'example.com/more']);
  expect(await rig.stk([...named, 'example.com/other'])).toMatchObject({ exitCode: 7 });
});

/** What `stk verify --policy` decides, without a process for each. */
async function obeys(image: string, text: string): Promise<Verdict> {
  await using scope = new AsyncScope();
  const reference = parseRegistryReference(image);
  const { host, repository, tag } = reference;
  const store = new RegistryStore({ client: scope.use(new HttpClient()), host, repository });
  const policy = await parsePolicy(text, 'policy', file => readFile(file, 'utf8'));
  const { digest } = (await store.readManifest(tag!)).descriptor;
  try {
    await checkPolicy({ store, digest, reference }, policy);
    return 'accepted';
  } catch (error) {
    expect(error).toMatchObject({ code: 'integrity' });
    return 'refused';
  }
}

it('reads policies as skopeo does', async () => {
  await using rig = await StkRig.open();
  await using registry = await rig.registry();
  const { host, skopeo, publish } = await openPeers(rig, registry.host);
  await buildSample(rig);
  const [key, other] = [makeKey(PASSWORD), makeKey(PASSWORD)];
  await rig.write('sign.key', key.privateKey);
  await rig.write('sign.pub', key.publicKey);
  await rig.write('other.pub', other.publicKey);
  await publish('app', 'team/app:1');
  await rig.ok(['sign', `docker://${host}/team/app:1`, '--key', 'sign.key']);
  await publish('tool', 'team/tagged:1');
  await rig.ok(['sign', `docker://${host}/team/tagged:1`, '--key', 'sign.key', '--identity', `${host}/team/tagged:1`]);
  await publish('tool', 'team/plain:1');
  const images = ['team/app:1', 'team/tagged:1', 'team/plain:1'] as const;

  const signed = { type: 'sigstoreSigned', keyPath: rig.path('sign.pub') };
  const match = (signedIdentity: object) => ({ ...signed, signedIdentity });
  const reject = [{ type: 'reject' }];
  const anything = [{ type: 'insecureAcceptAnything' }];
  const repository = match({ type: 'matchRepository' });
  const scoped = (scopes: object, fallback: object = reject) => ({ default: fallback, transports: { docker: scopes } });
  const policies: readonly object[] = [
    { default: anything },
    { default: reject },
    demand(host, repository),
    demand(host, signed),
    demand(host, match({ type: 'matchExact' })),
    demand(host, match({ type: 'matchRepoDigestOrExact' })),
    demand(host, match({ type: 'exactRepository', dockerRepository: `${host}/team/app` })),
    demand(host, match({ type: 'exactReference', dockerReference: `${host}/team/tagged:1` })),
    demand(host, match({ type: 'remapIdentity', prefix: `${host}/team`, signedPrefix: `${host}/elsewhere` })),
    demand(host, match({ type: 'remapIdentity', prefix: `${host}/other`, signedPrefix: `${host}/elsewhere` })),
    demand(host, { ...repository, keyPath: rig.path('other.pub') }),
    demand(host, { type: 'sigstoreSigned', keyData: Buffer.from(key.publicKey).toString('base64') }),
    demand(host, {
      type: 'sigstoreSigned',
      keyPaths: [rig.path('other.pub'), rig.path('sign.pub')],
      signedIdentity: { type: 'matchRepository' },
    }),
    scoped({ [`${host}/team/app`]: [repository], [`${host}/team`]: reject, '': anything }),
    scoped({ [`${host}/team/app:1`]: reject, [host]: anything }),
    scoped({ '': [repository] }, anything),
    scoped({ [`${host}/tea`]: reject }, anything),
    scoped({ [host]: [repository, { ...repository, keyPath: rig.path('other.pub') }] }),
  ];
  const disagreements: object[] = [];
  for (const policy of policies) {
    for (const image of images) {
      const theirs = await skopeo(policy, pull(`${host}/${image}`));
      const ours = await obeys(`${host}/${image}`, JSON.stringify(policy));
      if (ours !== theirs) disagreements.push({ policy: JSON.stringify(policy), image, ours, theirs });
    }
  }
  expect(disagreements).toEqual([]);
  const verify = ['verify', `docker://${host}/team/app:1`, '--policy', 'policy.json'];
  expect(await rig.stk(verify)).toMatchObject({ exitCode: 7 });
  await rig.write('policy.json', '{"default": [{"type": "reject"}, ');
  expect(await rig.stk(verify)).toMatchObject({ exitCode: 9 });
});
