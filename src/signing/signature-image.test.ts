import { describe, expect, it } from 'vitest';
import { makeKey } from '../../test/rig/sample-build.ts';
import { digestOf, type Digest } from '../core/digest.ts';
import type { ManifestBytes } from '../oci/blob-store.ts';
import { jsonDocument } from '../oci/compose.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';
import { MemoryStore } from '../oci/memory-store.ts';
import { signImage } from './sign-image.ts';
import { SIGNATURE_ANNOTATION, SIGNATURE_ARTIFACT, SIGNATURE_LAYER } from './signature-image.ts';
import { parseSigningKey, parseVerifyKey } from './signing-key.ts';
import { verifySignature } from './verify-signature.ts';

const DIGEST = digestOf('an image');
const SUBJECT = { mediaType: MediaType.manifest, digest: DIGEST, size: 8 };
const pair = makeKey('secret');
const keys = [parseVerifyKey(pair.publicKey)];

class CountingStore extends MemoryStore {
  /** What referrers are, where not those that are there. */
  listed: readonly Descriptor[] | undefined;
  /** Manifests that were read. */
  read = 0;

  override async referrers(digest: Digest, artifactType?: string): Promise<readonly Descriptor[]> {
    return this.listed ?? super.referrers(digest, artifactType);
  }

  override async readManifest(reference: string): Promise<ManifestBytes> {
    this.read++;
    return super.readManifest(reference);
  }
}

/** Signatures that nobody made, in an artifact or in the image under a tag. */
async function putJunk(store: MemoryStore, count: number, tag?: string): Promise<Descriptor> {
  const payload = Buffer.from('junk');
  const layers = Array.from({ length: count }, (_, index) => ({
    mediaType: SIGNATURE_LAYER,
    digest: digestOf(payload),
    size: payload.byteLength,
    annotations: { [SIGNATURE_ANNOTATION]: Buffer.from(`${index}`).toString('base64') },
  }));
  const config = jsonDocument({}, MediaType.empty);
  for (const { digest, size, bytes } of [
    { ...config.descriptor, bytes: config.bytes },
    { ...layers[0]!, bytes: payload },
  ]) {
    await store.putBlob({ mediaType: MediaType.empty, digest, size }, async function* () {
      yield bytes;
    });
  }
  const manifest = { schemaVersion: 2, mediaType: MediaType.manifest, config: config.descriptor, layers };
  const subject = tag === undefined ? { artifactType: SIGNATURE_ARTIFACT, subject: SUBJECT } : {};
  const document = jsonDocument({ ...manifest, ...subject }, MediaType.manifest);
  await store.putManifest(document, tag);
  return document.descriptor;
}

async function signed(): Promise<CountingStore> {
  const store = new CountingStore();
  const key = await parseSigningKey(pair.privateKey, () => Promise.reject(new Error('asked')));
  await signImage(store, SUBJECT, { key, identity: 'host/repo' });
  return store;
}

describe('good signatures', () => {
  it('are found as referrers, however much junk is under the tag', async () => {
    const store = await signed();
    await putJunk(store, 300, `${DIGEST.replace(':', '-')}.sig`);
    expect(await verifySignature(store, DIGEST, { keys })).toMatchObject([{ identity: 'host/repo' }]);
  });

  it('are found under the tag, however much junk refers to the image, and nothing is read after the first', async () => {
    const store = await signed();
    const [good] = await store.referrers(DIGEST);
    store.listed = Array.from({ length: 100_000 }, () => good!);
    store.read = 0;
    expect(await verifySignature(store, DIGEST, { keys })).toHaveLength(1);
    expect(store.read).toBe(1);
    expect(await verifySignature(store, DIGEST, { keys, all: true })).toHaveLength(1);
    expect(store.read).toBeLessThan(1000);
  });

  it('are found among referrers full of junk, and those that are too large are not read', async () => {
    const store = await signed();
    const [good] = await store.referrers(DIGEST);
    const junk = await putJunk(store, 300);
    store.listed = [...Array.from({ length: 400 }, () => ({ ...good!, size: 300_000 })), junk, good!];
    await putJunk(store, 1, `${DIGEST.replace(':', '-')}.sig`);
    store.read = 0;
    expect(await verifySignature(store, DIGEST, { keys })).toHaveLength(1);
    expect(store.read).toBe(3);
  });
});
