import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import { MediaType } from '../../src/oci/media-types.ts';
import { describeBytes, pushImage, put, readAll, type Row } from './registry-peer.ts';

/** distribution-spec, "Pull". */
export const PULL: readonly Row[] = [
  {
    section: 'Determining Support',
    expects: 'GET /v2/ tells whether the registry speaks the protocol and takes the login',
    run: async ({ open }, repository) => expect(await open(repository).ping()).toBeUndefined(),
  },
  {
    section: 'Pulling manifests',
    expects: 'by tag and by digest, the bytes that were pushed by another client',
    run: async ({ open, raw }, repository) => {
      const config = await raw.putBlob(repository, Buffer.from('{}'));
      const descriptor = { mediaType: MediaType.config, digest: config, size: 2 };
      const document = { schemaVersion: 2, mediaType: MediaType.manifest, config: descriptor, layers: [] };
      const digest = await raw.putManifest(repository, 'v1', document, MediaType.manifest);
      for (const reference of ['v1', digest]) {
        const found = await open(repository).readManifest(reference);
        expect(Buffer.from(found.bytes).toString()).toBe(JSON.stringify(document));
        expect(found.descriptor).toMatchObject({ digest, mediaType: MediaType.manifest });
      }
    },
  },
  {
    section: 'Pulling manifests',
    expects: '404 for a tag, a digest and a repository that are not there',
    run: async ({ open }, repository) => {
      const store = open(repository);
      await pushImage(store, 'v1');
      for (const [asked, reference] of [
        [store, 'v2'],
        [store, digestOf('nothing')],
        [open(`${repository}/none`), 'v1'],
      ] as const) {
        await expect(asked.readManifest(reference)).rejects.toMatchObject({ code: 'not-found' });
        expect(await asked.resolve(reference)).toBeUndefined();
      }
    },
  },
  {
    section: 'Pulling blobs',
    expects: 'the bytes, in whole and in ranges; 404 for what is not there',
    run: async ({ open, raw }, repository) => {
      const bytes = randomBytes(300_000);
      const digest = await raw.putBlob(repository, bytes);
      const store = open(repository);
      const descriptor = { ...describeBytes(bytes), digest };
      expect((await readAll(store, descriptor)).equals(bytes)).toBe(true);
      const part = await store.readBlobRange(descriptor, 100_000, 1000);
      expect(part.equals(bytes.subarray(100_000, 101_000))).toBe(true);
      const missing = describeBytes(Buffer.from('missing'));
      await expect(readAll(store, missing)).rejects.toMatchObject({ code: 'not-found' });
    },
  },
  {
    section: 'Checking if content exists in the registry',
    expects: 'HEAD says it of manifests and blobs, with their size',
    run: async ({ open }, repository) => {
      const store = open(repository);
      const { descriptor } = await pushImage(store, 'v1');
      expect(await store.resolve('v1')).toMatchObject(descriptor);
      const blob = await put(store, Buffer.from('here'));
      expect(await store.hasBlob(blob)).toBe(true);
      expect(await store.hasBlob({ ...blob, size: 5 })).toBe(false);
      expect(await store.hasBlob(describeBytes(Buffer.from('not here')))).toBe(false);
    },
  },
];
