import { createPublicKey } from 'node:crypto';
import { bundleFromJSON } from '@sigstore/bundle';
import { Verifier, toSignedEntity, toTrustMaterial } from '@sigstore/verify';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeKey } from '../../test/rig/sample-build.ts';
import { digestOf } from '../core/digest.ts';
import { jsonDocument } from '../oci/compose.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';
import { MemoryStore } from '../oci/memory-store.ts';
import { attachDocument, statementDocument } from './attach.ts';
import { findDocuments, verifyAttestation } from './attestations.ts';
import { signEnvelope } from './dsse.ts';
import { hasMembers } from './has-members.ts';
import { formatBundle, parseBundle } from './sigstore-bundle.ts';
import { parseSigningKey, parseVerifyKey } from './signing-key.ts';
import { STATEMENT_MEDIA_TYPE, formatStatement, isPredicateType, parseStatement } from './statement.ts';

const DIGEST = digestOf('an image');
const SUBJECT: Descriptor = { mediaType: MediaType.manifest, digest: DIGEST, size: 8 };
const TYPE = 'https://slsa.dev/provenance/v1';
const pair = makeKey('secret');
const other = makeKey('secret');
const never = () => Promise.reject(new Error('asked'));
const key = await parseSigningKey(pair.privateKey, never);
const keys = [parseVerifyKey(pair.publicKey)];
const statement = (digest = DIGEST) => ({
  predicateType: TYPE,
  subjects: [{ name: 'app', digest }],
  predicate: { a: 1 },
});
const created = '2026-01-01T00:00:00Z';

describe('a bundle', () => {
  it('is one that sigstore reads and verifies by the key alone', () => {
    const payload = formatStatement(statement());
    const bytes = formatBundle(signEnvelope(STATEMENT_MEDIA_TYPE, payload, key), key);
    const bundle = bundleFromJSON(JSON.parse(bytes.toString('utf8')));
    const publicKey = createPublicKey(pair.publicKey);
    const trust = toTrustMaterial(
      { mediaType: '', tlogs: [], ctlogs: [], timestampAuthorities: [], certificateAuthorities: [] },
      () => ({
        publicKey,
        validFor: () => true,
      }),
    );
    const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
    expect(verifier.verify(toSignedEntity(bundle)).key).toBeDefined();
    expect(parseBundle(bytes)?.payload.equals(payload)).toBe(true);
  });

  it('of anything else is none', () => {
    fc.assert(
      fc.property(fc.json(), text => {
        const bytes = Buffer.from(text);
        parseStatement(bytes);
        return parseBundle(bytes) === undefined;
      }),
      { numRuns: 200 },
    );
  });
});

describe('attestations', () => {
  async function attached(...parts: { digest?: typeof DIGEST; privateKey?: string | undefined }[]) {
    const store = new MemoryStore();
    for (const { digest = DIGEST, privateKey } of parts) {
      const signer = privateKey === undefined ? undefined : await parseSigningKey(privateKey, never);
      await attachDocument(store, SUBJECT, statementDocument(statement(digest), created, signer));
    }
    return store;
  }
  const verify = (store: MemoryStore, type = TYPE) => verifyAttestation(store, DIGEST, { type, keys });

  it('that a key signed about the image are found, whatever else is there', async () => {
    const store = await attached({}, { privateKey: other.privateKey }, { privateKey: pair.privateKey });
    await attachDocument(store, SUBJECT, { mediaType: 'application/spdx+json', bytes: Buffer.from('{}'), created });
    expect(await verify(store)).toMatchObject([{ statement: { predicate: { a: 1 } } }]);
    expect(await findDocuments(store, DIGEST)).toHaveLength(4);
  });

  it.each<[string, { digest?: typeof DIGEST; privateKey?: string }[], RegExp]>([
    ['that nobody signed', [{}], /not signed/],
    ['of another key', [{ privateKey: other.privateKey }], /another key/],
    ['of another subject', [{ privateKey: pair.privateKey, digest: digestOf('x') }], /something else/],
    ['that are missing', [], /none of that type/],
  ])('%s are refused', async (_, parts, why) => {
    const error = { code: 'integrity', message: expect.stringMatching(why) as string };
    await expect(verify(await attached(...parts))).rejects.toMatchObject(error);
  });

  it('of another type do not count', async () => {
    const store = await attached({ privateKey: pair.privateKey });
    await expect(verify(store, 'https://spdx.dev/Document')).rejects.toMatchObject({ code: 'integrity' });
  });

  it('are the same artifact where they are the same document', async () => {
    const store = await attached({}, {});
    expect(await store.referrers(DIGEST)).toHaveLength(1);
  });

  it('under the tag of older cosign are found', async () => {
    const store = new MemoryStore();
    const { payload, payloadType, signatures } = signEnvelope(STATEMENT_MEDIA_TYPE, formatStatement(statement()), key);
    const envelope = { payloadType, payload: payload.toString('base64'), signatures: [{ sig: signatures[0] }] };
    const layer = jsonDocument(envelope, 'application/vnd.dsse.envelope.v1+json');
    const config = jsonDocument({}, MediaType.config);
    for (const { descriptor, bytes } of [layer, config]) {
      await store.putBlob(descriptor, async function* () {
        yield bytes;
      });
    }
    const body = {
      schemaVersion: 2,
      mediaType: MediaType.manifest,
      config: config.descriptor,
      layers: [layer.descriptor],
    };
    await store.putManifest(jsonDocument(body, MediaType.manifest), `${DIGEST.replace(':', '-')}.att`);
    expect(await verify(store)).toHaveLength(1);
  });
});

it.each([
  [TYPE, TYPE, true],
  ['https://spdx.dev/Document/v2.3', 'https://spdx.dev/Document', true],
  ['https://spdx.dev/Documents', 'https://spdx.dev/Document', false],
  ['https://slsa.dev/provenance/v0.2', TYPE, false],
])('%s is %s: %s', (type, wanted, is) => {
  expect(isPredicateType(type, wanted)).toBe(is);
});

it.each([
  [{ a: 1, b: 2 }, { a: 1 }, true],
  [{ a: { b: [1, { c: 2, d: 3 }] } }, { a: { b: [{ c: 2 }] } }, true],
  [{ a: 1 }, { a: '1' }, false],
  [{}, { toString: {} }, false],
  [[1], { 0: 1 }, false],
  [null, {}, false],
])('%j has what %j demands: %s', (value, demanded, has) => {
  expect(hasMembers(value, demanded)).toBe(has);
});
