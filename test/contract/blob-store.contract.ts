import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../src/core/digest.ts';
import type { BlobStore, ManifestBytes } from '../../src/oci/blob-store.ts';
import type { Descriptor, Index, Manifest } from '../../src/oci/descriptor.ts';
import { MediaType } from '../../src/oci/media-types.ts';

/** An empty store; disposing it removes what it stands on. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly store: BlobStore;
}

/** What every `BlobStore` does, whatever it stands on. `makeStore` gives a fresh, empty store for each test. */
export function blobStoreContract(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(`${name} as a blob store`, () => {
    it.each([0, 1, 70_000, 3_000_000])('gives back %i bytes as they were put', async sizeBytes => {
      await using under = await makeStore();
      const bytes = randomBytes(sizeBytes);
      const descriptor = describeBytes(bytes);
      expect(await under.store.hasBlob(descriptor)).toBe(false);
      await under.store.putBlob(descriptor, pieces(bytes));
      expect(await under.store.hasBlob(descriptor)).toBe(true);
      expect(digestOf(await readAll(under.store, descriptor))).toBe(descriptor.digest);
    });

    it('reports progress up to the size, both ways', async () => {
      await using under = await makeStore();
      const bytes = randomBytes(2_500_000);
      const descriptor = describeBytes(bytes);
      const put: number[] = [];
      await under.store.putBlob(descriptor, pieces(bytes), { onProgress: done => put.push(done) });
      const read: number[] = [];
      for await (const chunk of under.store.readBlob(descriptor, { onProgress: done => read.push(done) })) void chunk;
      expect([put.at(-1), read.at(-1)]).toEqual([bytes.byteLength, bytes.byteLength]);
      expect(put.toSorted((a, b) => a - b)).toEqual(put);
    });

    it('does not open the source of a blob that it has', async () => {
      await using under = await makeStore();
      const bytes = Buffer.from('here already');
      await under.store.putBlob(describeBytes(bytes), pieces(bytes));
      const source = () => {
        throw new Error('opened');
      };
      await under.store.putBlob(describeBytes(bytes), source);
    });

    it.each<[string, (bytes: Buffer) => Buffer]>([
      ['other bytes', bytes => Buffer.alloc(bytes.byteLength, 1)],
      ['fewer bytes', bytes => bytes.subarray(1)],
      ['more bytes', bytes => Buffer.concat([bytes, Buffer.from('x')])],
    ])('refuses %s than described and keeps nothing', async (_, change) => {
      await using under = await makeStore();
      for (const sizeBytes of [1000, 1_500_000]) {
        const bytes = randomBytes(sizeBytes);
        const descriptor = describeBytes(bytes);
        const put = under.store.putBlob(descriptor, pieces(change(bytes)));
        await expect(put).rejects.toMatchObject({ code: 'integrity' });
        expect(await under.store.hasBlob(descriptor)).toBe(false);
      }
    });

    it('passes on the failure of a source and keeps nothing', async () => {
      await using under = await makeStore();
      const bytes = randomBytes(2_000_000);
      const descriptor = describeBytes(bytes);
      async function* source() {
        yield bytes.subarray(0, 1_200_000);
        throw new Error('the disk fell off');
      }
      await expect(under.store.putBlob(descriptor, source)).rejects.toThrow('the disk fell off');
      expect(await under.store.hasBlob(descriptor)).toBe(false);
    });

    it('says not-found for a blob that is missing', async () => {
      await using under = await makeStore();
      const read = readAll(under.store, describeBytes(Buffer.from('nobody put this')));
      await expect(read).rejects.toMatchObject({ code: 'not-found' });
    });

    it('says integrity where a blob is not as long as described', async () => {
      await using under = await makeStore();
      const bytes = randomBytes(5000);
      const descriptor = describeBytes(bytes);
      await under.store.putBlob(descriptor, pieces(bytes));
      for (const size of [4999, 5001]) {
        const read = readAll(under.store, { ...descriptor, size });
        await expect(read).rejects.toMatchObject({ code: 'integrity' });
      }
    });

    it('lets a reader stop early', async () => {
      await using under = await makeStore();
      const bytes = randomBytes(3_000_000);
      const descriptor = describeBytes(bytes);
      await under.store.putBlob(descriptor, pieces(bytes));
      for await (const chunk of under.store.readBlob(descriptor)) {
        expect(chunk.byteLength).toBeGreaterThan(0);
        break;
      }
      expect(await readAll(under.store, descriptor)).toHaveLength(bytes.byteLength);
    });

    it('stops when the signal has fired', async () => {
      await using under = await makeStore();
      const bytes = randomBytes(1000);
      const descriptor = describeBytes(bytes);
      const { signal } = abortedController();
      const put = under.store.putBlob(descriptor, pieces(bytes), { signal });
      await expect(put).rejects.toMatchObject({ code: 'interrupted' });
      expect(await under.store.hasBlob(descriptor)).toBe(false);
    });

    it('is asked for blobs by several at once', async () => {
      await using under = await makeStore();
      const blobs = Array.from({ length: 6 }, (_, index) => randomBytes(200_000 + index));
      const same = blobs[0]!;
      await Promise.all([...blobs, same].map(bytes => under.store.putBlob(describeBytes(bytes), pieces(bytes))));
      const found = await Promise.all(blobs.map(bytes => readAll(under.store, describeBytes(bytes))));
      expect(found.map(digestOf)).toEqual(blobs.map(digestOf));
    });

    it('keeps an image and finds it by tag and by digest', async () => {
      await using under = await makeStore();
      const { store } = under;
      const image = await putImage(store, 'one');
      await store.putManifest(image, 'v1.0');
      const { digest, size, mediaType } = image.descriptor;
      for (const reference of ['v1.0', digest]) {
        expect(await store.resolve(reference)).toMatchObject({ digest, size, mediaType });
        const found = await store.readManifest(reference);
        expect(found.descriptor).toMatchObject({ digest, size, mediaType });
        expect(Buffer.from(found.bytes).equals(image.bytes)).toBe(true);
      }
    });

    it('moves a tag and keeps what it pointed to', async () => {
      await using under = await makeStore();
      const { store } = under;
      const first = await putImage(store, 'first');
      const second = await putImage(store, 'second');
      await store.putManifest(first, 'latest');
      await store.putManifest(second, 'latest');
      expect(await store.resolve('latest')).toMatchObject({ digest: second.descriptor.digest });
      expect((await store.readManifest(first.descriptor.digest)).descriptor.digest).toBe(first.descriptor.digest);
    });

    it('moves a tag only where it stands for what is expected', async () => {
      await using under = await makeStore();
      const { store } = under;
      const [first, second, third] = [
        await putImage(store, 'first'),
        await putImage(store, 'second'),
        await putImage(store, 'third'),
      ];
      await store.putManifest(first, 'moving', { expected: { digest: undefined } });
      await store.putManifest(second, 'moving', { expected: { digest: first.descriptor.digest } });
      for (const digest of [undefined, first.descriptor.digest, third.descriptor.digest]) {
        const late = store.putManifest(third, 'moving', { expected: { digest } });
        await expect(late).rejects.toMatchObject({ code: 'conflict' });
      }
      expect(await store.resolve('moving')).toMatchObject({ digest: second.descriptor.digest });
    });

    it('says where it is, and where its blobs are files', async () => {
      await using under = await makeStore();
      const { store } = under;
      const bytes = randomBytes(100);
      await store.putBlob(describeBytes(bytes), pieces(bytes));
      expect(store.blobPath !== undefined).toBe(store.place.kind === 'oci');
      if (store.blobPath) expect(await readFile(store.blobPath(digestOf(bytes)))).toEqual(bytes);
      if (store.place.kind === 'docker')
        expect(store.name).toBe(`docker://${store.place.host}/${store.place.repository}`);
    });

    it('lists its tags, none when empty', async () => {
      await using under = await makeStore();
      const { store } = under;
      expect(await store.tags()).toEqual([]);
      const image = await putImage(store, 'tagged');
      for (const tag of ['b', 'a', 'c-1.0_x']) await store.putManifest(image, tag);
      expect((await store.tags()).toSorted()).toEqual(['a', 'b', 'c-1.0_x']);
    });

    it('knows nothing of a tag and a digest that are missing', async () => {
      await using under = await makeStore();
      const digest = digestOf('no such manifest');
      for (const reference of ['nope', digest]) {
        expect(await under.store.resolve(reference)).toBeUndefined();
        await expect(under.store.readManifest(reference)).rejects.toMatchObject({ code: 'not-found' });
      }
    });

    it('refuses a manifest that does not match its descriptor', async () => {
      await using under = await makeStore();
      const image = await putImage(under.store, 'forged');
      const forged = { ...image, bytes: Buffer.concat([image.bytes, Buffer.from(' ')]) };
      await expect(under.store.putManifest(forged, 'forged')).rejects.toMatchObject({ code: 'integrity' });
      expect(await under.store.resolve('forged')).toBeUndefined();
    });

    it('keeps an index over images', async () => {
      await using under = await makeStore();
      const { store } = under;
      const image = await putImage(store, 'for an index');
      await store.putManifest(image);
      const platform = { os: 'linux', architecture: 'amd64' };
      const index = documentBytes({
        schemaVersion: 2,
        mediaType: MediaType.index,
        manifests: [{ ...image.descriptor, platform }],
      });
      await store.putManifest(index, 'multi');
      expect((await store.readManifest('multi')).descriptor.mediaType).toBe(MediaType.index);
      expect((await store.readManifest(image.descriptor.digest)).descriptor.digest).toBe(image.descriptor.digest);
    });

    it('lists what refers to a manifest, by type too', async () => {
      await using under = await makeStore();
      const { store } = under;
      const image = await putImage(store, 'subject');
      await store.putManifest(image, 'subject');
      expect(await store.referrers(image.descriptor.digest)).toEqual([]);
      const signature = await putArtifact(store, image.descriptor, 'application/vnd.example.signature');
      const sbom = await putArtifact(store, image.descriptor, 'application/vnd.example.sbom');
      const digests = async (type?: string) =>
        (await store.referrers(image.descriptor.digest, type)).map(({ digest }) => digest).toSorted();
      expect(await digests()).toEqual([signature, sbom].toSorted());
      expect(await digests('application/vnd.example.sbom')).toEqual([sbom]);
      expect(await digests('application/vnd.example.none')).toEqual([]);
    });
  });
}

function abortedController(): AbortController {
  const controller = new AbortController();
  controller.abort();
  return controller;
}

function describeBytes(bytes: Uint8Array, mediaType = 'application/octet-stream'): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}

function pieces(bytes: Uint8Array): () => AsyncIterable<Uint8Array> {
  return async function* () {
    for (let at = 0; at < bytes.byteLength; at += 65_536) yield bytes.subarray(at, at + 65_536);
  };
}

async function readAll(store: BlobStore, descriptor: Descriptor): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.readBlob(descriptor)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function documentBytes(document: Manifest | Index): ManifestBytes & { readonly bytes: Buffer } {
  const bytes = Buffer.from(JSON.stringify(document));
  return { descriptor: describeBytes(bytes, document.mediaType), bytes };
}

async function putImage(store: BlobStore, text: string): Promise<ManifestBytes & { readonly bytes: Buffer }> {
  const layer = Buffer.from(`layer of ${text}`);
  const config = Buffer.from(
    JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } }),
  );
  await store.putBlob(describeBytes(layer), pieces(layer));
  await store.putBlob(describeBytes(config), pieces(config));
  return documentBytes({
    schemaVersion: 2,
    mediaType: MediaType.manifest,
    config: describeBytes(config, MediaType.config),
    layers: [describeBytes(layer, MediaType.layerTar)],
  });
}

async function putArtifact(store: BlobStore, subject: Descriptor, artifactType: string): Promise<Digest> {
  const empty = Buffer.from('{}');
  await store.putBlob(describeBytes(empty), pieces(empty));
  const { mediaType, digest, size } = subject;
  const artifact = documentBytes({
    schemaVersion: 2,
    mediaType: MediaType.manifest,
    artifactType,
    config: describeBytes(empty, MediaType.empty),
    layers: [describeBytes(empty, MediaType.empty)],
    subject: { mediaType, digest, size },
  });
  await store.putManifest(artifact);
  return artifact.descriptor.digest;
}
