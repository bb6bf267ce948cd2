import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { makeKey } from '../../test/rig/sample-build.ts';
import { digestOf } from '../core/digest.ts';
import { jsonDocument } from '../oci/compose.ts';
import { MediaType } from '../oci/media-types.ts';
import { MemoryStore } from '../oci/memory-store.ts';
import { parseImageName, type StoredName } from '../oci/image-name.ts';
import { signImage } from './sign-image.ts';
import { addSignature } from './signature-image.ts';
import { checkPolicy, parsePolicy } from './signature-policy.ts';
import { keyFingerprint, parseSigningKey, parseVerifyKey } from './signing-key.ts';
import { formatPayload, isSignedBy, parsePayload, signPayload } from './simple-signing.ts';
import { isRepositoryIdentity, verifySignature } from './verify-signature.ts';

const DIGEST = digestOf('an image');
const SUBJECT = { mediaType: MediaType.manifest, digest: DIGEST, size: 8 };
const pair = makeKey('secret');
const other = makeKey('secret');
const never = () => Promise.reject(new Error('asked'));
const noKeyFile = () => Promise.reject(new Error('read'));

describe('keys', () => {
  it('opens plain PEM, and what cosign or OpenSSL encrypted with the right password only', async () => {
    const key = await parseSigningKey(pair.privateKey, never);
    expect(keyFingerprint(key)).toBe(keyFingerprint(parseVerifyKey(pair.publicKey)));
    const opensslKey = key.export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: 'secret',
    }) as string;
    for (const pem of [pair.cosignKey, pair.cosignKey.replaceAll('COSIGN', 'SIGSTORE'), opensslKey]) {
      expect(keyFingerprint(await parseSigningKey(pem, async () => 'secret'))).toBe(keyFingerprint(key));
      const wrong = parseSigningKey(pem, async () => 'not it');
      await expect(wrong).rejects.toMatchObject({ code: 'invalid-input' });
      await expect(wrong).rejects.not.toThrow(/not it/);
    }
  });

  const envelope = (change: object) => {
    const body = {
      kdf: { name: 'scrypt', params: { N: 2, r: 8, p: 1 }, salt: '' },
      cipher: { name: 'nacl/secretbox', nonce: '' },
      ...change,
    };
    const text = Buffer.from(JSON.stringify(body)).toString('base64');
    return `-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n${text}\n-----END ENCRYPTED COSIGN PRIVATE KEY-----\n`;
  };
  it.each<[string, string]>([
    ['no PEM', 'hello'],
    ['a public key', pair.publicKey],
    ['no JSON', '-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED COSIGN PRIVATE KEY-----'],
    ['another cipher', envelope({ cipher: { name: 'rot13', nonce: '' } })],
    [
      'a scrypt that takes all memory',
      envelope({ kdf: { name: 'scrypt', params: { N: 2 ** 40, r: 8, p: 1 }, salt: '' } }),
    ],
    [
      'a scrypt cost of no power of two',
      envelope({ kdf: { name: 'scrypt', params: { N: 1000, r: 8, p: 1 }, salt: '' } }),
    ],
    ['no nonce', envelope({})],
    [
      'an RSA key',
      generateKeyPairSync('rsa', {
        modulusLength: 2048,
        privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
        publicKeyEncoding: { type: 'spki', format: 'pem' },
      }).privateKey,
    ],
  ])('refuses %s', async (_, pem) => {
    await expect(parseSigningKey(pem, async () => 'x')).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('refuses private keys and short RSA keys for verification', () => {
    expect(() => parseVerifyKey(pair.privateKey)).toThrow();
    const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'pem' });
    expect(() => parseVerifyKey(short as string)).toThrow(/type rsa/);
  });
});

describe('payloads', () => {
  it('are written as cosign writes them', () => {
    expect(formatPayload({ digest: DIGEST, identity: 'host/repo' }).toString()).toBe(
      `{"critical":{"identity":{"docker-reference":"host/repo"},"image":{"docker-manifest-digest":"${DIGEST}"},"type":"cosign container image signature"},"optional":null}`,
    );
    expect(parsePayload(formatPayload({ digest: DIGEST, identity: 'a' }))).toEqual({ digest: DIGEST, identity: 'a' });
  });

  const critical = {
    identity: { 'docker-reference': 'a' },
    image: { 'docker-manifest-digest': DIGEST },
    type: 'cosign container image signature',
  };
  it.each<[string, unknown]>([
    ['null', null],
    ['another type', { critical: { ...critical, type: 'atomic container signature' } }],
    ['an unknown critical member', { critical: { ...critical, more: 1 } }],
    ['no digest', { critical: { ...critical, image: {} } }],
    ['a digest that is none', { critical: { ...critical, image: { 'docker-manifest-digest': 'sha256:0' } } }],
    ['an identity that is no text', { critical: { ...critical, identity: { 'docker-reference': 1 } } }],
  ])('with %s count for nothing', (_, value) => {
    expect(parsePayload(Buffer.from(JSON.stringify(value)))).toBeUndefined();
  });

  it('are signed by one key, and not once a bit has changed', async () => {
    const key = await parseSigningKey(pair.privateKey, never);
    const payload = formatPayload({ digest: DIGEST, identity: 'a' });
    const signature = signPayload(payload, key);
    expect(isSignedBy(payload, signature, parseVerifyKey(pair.publicKey))).toBe(true);
    expect(isSignedBy(payload, signature, parseVerifyKey(other.publicKey))).toBe(false);
    expect(
      isSignedBy(Buffer.from(payload.toString().replace('"a"', '"b"')), signature, parseVerifyKey(pair.publicKey)),
    ).toBe(false);
    for (const junk of ['', '!', 'AAAA', `${signature}!`]) {
      expect(isSignedBy(payload, junk, parseVerifyKey(pair.publicKey))).toBe(false);
    }
  });
});

async function signed(identity: string): Promise<MemoryStore> {
  const store = new MemoryStore();
  const key = await parseSigningKey(pair.privateKey, never);
  expect(await signImage(store, SUBJECT, { key, identity })).toBe(true);
  expect(await signImage(store, SUBJECT, { key, identity })).toBe(false);
  return store;
}

describe('signatures beside an image', () => {
  it('of several keys are kept together, and junk among them hides none', async () => {
    const store = await signed('host/repo');
    await signImage(store, SUBJECT, { key: await parseSigningKey(other.privateKey, never), identity: 'host/repo' });
    await addSignature(store, SUBJECT, { payload: Buffer.from('junk'), signature: 'AAAA' });
    for (const { publicKey } of [pair, other]) {
      expect(await verifySignature(store, DIGEST, { keys: [parseVerifyKey(publicKey)] })).toHaveLength(1);
    }
  });

  it('in a bundle of sigstore are told apart from none', async () => {
    const store = new MemoryStore();
    const config = jsonDocument({}, MediaType.empty).descriptor;
    const type = 'application/vnd.dev.sigstore.bundle.v0.3+json';
    const manifest = { schemaVersion: 2, mediaType: MediaType.manifest, artifactType: type, config, layers: [] };
    await store.putManifest(jsonDocument({ ...manifest, subject: SUBJECT }, MediaType.manifest));
    const check = verifySignature(store, DIGEST, { keys: [parseVerifyKey(pair.publicKey)] });
    await expect(check).rejects.toMatchObject({
      code: 'integrity',
      message: expect.stringContaining('sigstore bundle') as string,
    });
  });

  it('that are missing, foreign, or for another name are refused', async () => {
    const keys = [parseVerifyKey(pair.publicKey)];
    const store = await signed('host/repo');
    const foreign = { keys: [parseVerifyKey(makeKey('x').publicKey)] };
    const named = { keys, acceptsIdentity: (name: string) => name === 'host/other' };
    for (const check of [
      verifySignature(new MemoryStore(), DIGEST, { keys }),
      verifySignature(store, DIGEST, foreign),
      verifySignature(store, DIGEST, named),
    ]) {
      await expect(check).rejects.toMatchObject({ code: 'integrity' });
    }
  });

  it.each([
    ['host/repo', true],
    ['host/repo:tag', true],
    [`host/repo@${DIGEST}`, true],
    ['host:5000/repo', false],
    ['host/repo/more', false],
    ['host/rep', false],
  ])('called %s belong to host/repo: %s', (identity, belongs) => {
    expect(isRepositoryIdentity(identity, 'host/repo')).toBe(belongs);
  });
});

describe('policies', () => {
  const keyData = Buffer.from(pair.publicKey).toString('base64');
  const sigstore = (more: object = {}) => ({ type: 'sigstoreSigned', keyData, ...more });
  const check = async (policy: object, identity: string, reference = 'docker://h.example/a/b:v1') => {
    const parsed = await parsePolicy(JSON.stringify(policy), 'policy', noKeyFile);
    const subject = {
      store: await signed(identity),
      digest: DIGEST,
      reference: parseImageName(reference) as StoredName,
    };
    return checkPolicy(subject, parsed).then(
      () => 'accepted',
      (error: { code: string }) => error.code,
    );
  };
  const scoped = (scope: string, ...requirements: object[]) => ({
    default: [{ type: 'reject' }],
    transports: { docker: { [scope]: requirements } },
  });

  it.each<[string, object, string, string]>([
    ['the default', { default: [{ type: 'insecureAcceptAnything' }] }, '', 'accepted'],
    ['the registry', scoped('h.example', sigstore()), 'h.example/a/b:v1', 'accepted'],
    ['a namespace', scoped('h.example/a', sigstore()), 'h.example/a/b:v1', 'accepted'],
    ['the whole name', scoped('h.example/a/b:v1', sigstore()), 'h.example/a/b:v1', 'accepted'],
    ['a domain', scoped('*.example', sigstore()), 'h.example/a/b:v1', 'accepted'],
    ['everything of the transport', scoped('', sigstore()), 'h.example/a/b:v1', 'accepted'],
    ['a neighbour only', scoped('h.example/ab', sigstore()), 'h.example/a/b:v1', 'integrity'],
    ['another tag', scoped('h.example', sigstore()), 'h.example/a/b:v2', 'integrity'],
    [
      'the repository',
      scoped('', sigstore({ signedIdentity: { type: 'matchRepository' } })),
      'h.example/a/b',
      'accepted',
    ],
    [
      'a moved prefix',
      scoped(
        '',
        sigstore({ signedIdentity: { type: 'remapIdentity', prefix: 'h.example/a', signedPrefix: 'o.example' } }),
      ),
      'o.example/b:v1',
      'accepted',
    ],
    [
      'an exact other name',
      scoped('', sigstore({ signedIdentity: { type: 'exactReference', dockerReference: 'x' } })),
      'x',
      'accepted',
    ],
    ['two requirements, one unmet', scoped('', sigstore(), { type: 'reject' }), 'h.example/a/b:v1', 'integrity'],
  ])('for %s', async (_, policy, identity, outcome) => {
    expect(await check(policy, identity === '' ? 'any' : identity)).toBe(outcome);
  });

  // What `prmMatchExact` and its siblings of containers/image decide.
  it.each([
    ['matchExact', `@${DIGEST}`, ':latest', 'integrity'],
    ['matchExact', `@${DIGEST}`, ':v1', 'integrity'],
    ['matchExact', `@${DIGEST}`, '', 'integrity'],
    ['matchExact', `@${DIGEST}`, `@${DIGEST}`, 'accepted'],
    ['matchExact', ':v1', ':v1', 'accepted'],
    ['matchExact', '', ':latest', 'accepted'],
    ['matchExact', '', '', 'integrity'],
    ['matchExact', ':v1', `@${DIGEST}`, 'integrity'],
    ['matchRepoDigestOrExact', `@${DIGEST}`, ':latest', 'accepted'],
    ['matchRepoDigestOrExact', ':v1', ':v2', 'integrity'],
    ['matchRepoDigestOrExact', ':v1', ':v1', 'accepted'],
    ['matchRepository', ':v1', ':v2', 'accepted'],
  ])('of type %s take an image named %s with a signature for %s: %s', async (type, named, identity, outcome) => {
    const policy = scoped('', sigstore({ signedIdentity: { type } }));
    expect(await check(policy, `h.example/a/b${identity}`, `docker://h.example/a/b${named}`)).toBe(outcome);
  });

  it.each<[string, unknown, string]>([
    ['no JSON', undefined, 'invalid-input'],
    ['no default', {}, 'invalid-input'],
    ['an empty list', { default: [] }, 'invalid-input'],
    ['another kind of signature', { default: [{ type: 'signedBy' }] }, 'unsupported'],
    ['keyless signatures', { default: [sigstore({ fulcio: {} })] }, 'unsupported'],
    ['no key', { default: [{ type: 'sigstoreSigned' }] }, 'invalid-input'],
    ['an unknown identity', { default: [sigstore({ signedIdentity: { type: 'whatever' } })] }, 'invalid-input'],
    ['an unknown member', { default: [{ type: 'reject' }], extra: 1 }, 'invalid-input'],
  ])('with %s are errors, never permissions', async (_, policy, code) => {
    const policyText = policy === undefined ? 'no JSON' : JSON.stringify(policy);
    await expect(parsePolicy(policyText, 'p', noKeyFile)).rejects.toMatchObject({ code });
  });
});
