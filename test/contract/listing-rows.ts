import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import type { Digest } from '../../src/core/digest.ts';
import { MediaType } from '../../src/oci/media-types.ts';
import { FALLBACK_TAG, pushImage, put, readAll, type Row } from './registry-peer.ts';

/** distribution-spec, "Content Discovery". */
export const DISCOVERY: readonly Row[] = [
  {
    section: 'Listing Tags',
    expects: 'all of them over all pages; none for a repository that is not there',
    run: async ({ open, raw }, repository) => {
      const store = open(repository);
      const names = ['c', 'a', 'b_1', 'B.2', 'z-3'];
      for (const name of names) await pushImage(store, name);
      expect((await store.tags()).toSorted()).toEqual(names.toSorted());
      expect(await open(`${repository}/none`).tags()).toEqual([]);
      const { body } = await raw.send('GET', `${repository}/tags/list`);
      const listed = (JSON.parse(body.toString()) as { tags: string[] }).tags;
      expect((await store.tags()).slice(0, listed.length).toSorted()).toEqual(listed.toSorted());
    },
  },
  {
    section: 'Listing Referrers',
    expects: 'all of them, those of one type, and none of what nothing refers to',
    run: async ({ open }, repository) => {
      const store = open(repository);
      const subject = (await pushImage(store, 'v1')).descriptor;
      const pushed: Digest[] = [];
      for (const artifactType of ['application/x.one', 'application/x.two', 'application/x.two']) {
        const { descriptor } = await pushImage(store, undefined, { artifactType, subject });
        pushed.push(descriptor.digest);
      }
      const digests = async (type?: string, of = subject.digest) =>
        (await store.referrers(of, type)).map(({ digest }) => digest).toSorted();
      expect(await digests()).toEqual(pushed.toSorted());
      expect(await digests('application/x.two')).toEqual(pushed.slice(1).toSorted());
      expect(await digests('application/x.three')).toEqual([]);
      expect(await digests(undefined, pushed[0])).toEqual([]);
    },
  },
  {
    section: 'Listing Referrers',
    expects: 'where the registry has no such list, what other clients kept under the fallback tag is read and kept',
    run: async ({ open, raw, referrers }, repository) => {
      const store = open(repository);
      const subject = (await pushImage(store, 'v1')).descriptor;
      const answer = await raw.send('GET', `${repository}/referrers/${subject.digest}`);
      expect(answer.status).toBe(referrers ? 200 : 404);
      if (referrers) return;
      const other = (await pushImage(store)).descriptor;
      const entry = { ...other, artifactType: 'application/x.other' };
      const index = { schemaVersion: 2, mediaType: MediaType.index, manifests: [entry] };
      await raw.putManifest(repository, FALLBACK_TAG(subject.digest), index, MediaType.index);
      expect(await store.referrers(subject.digest)).toMatchObject([entry]);
      const ours = (await pushImage(store, undefined, { artifactType: 'application/x.ours', subject })).descriptor;
      const found = (await store.referrers(subject.digest)).map(({ digest }) => digest);
      expect(found.toSorted()).toEqual([other.digest, ours.digest].toSorted());
    },
  },
];

/** distribution-spec, "Content Management". */
export const MANAGEMENT: readonly Row[] = [
  {
    section: 'Deleting tags',
    expects: 'where the registry deletes by digest only, the tag stays what it was',
    run: async ({ open, raw }, repository) => {
      const store = open(repository);
      const { descriptor } = await pushImage(store, 'v1');
      const { status } = await raw.send('DELETE', `${repository}/manifests/v1`);
      expect([400, 405]).toContain(status);
      expect((await store.resolve('v1'))?.digest).toBe(descriptor.digest);
    },
  },
  {
    section: 'Deleting manifests',
    expects: 'what was deleted is gone, its tags with it, and can be pushed again',
    run: async ({ open, raw }, repository) => {
      const store = open(repository);
      const image = await pushImage(store, 'v1');
      const { status } = await raw.send('DELETE', `${repository}/manifests/${image.descriptor.digest}`);
      expect(status).toBe(202);
      for (const reference of ['v1', image.descriptor.digest]) {
        expect(await store.resolve(reference)).toBeUndefined();
        await expect(store.readManifest(reference)).rejects.toMatchObject({ code: 'not-found' });
      }
      await store.putManifest(image, 'v1');
      expect((await store.resolve('v1'))?.digest).toBe(image.descriptor.digest);
    },
  },
  {
    section: 'Deleting blobs',
    expects: 'what was deleted is gone, and is sent again',
    run: async ({ open, raw }, repository) => {
      const store = open(repository);
      const bytes = randomBytes(1000);
      const blob = await put(store, bytes);
      const { status } = await raw.send('DELETE', `${repository}/blobs/${blob.digest}`);
      expect(status).toBe(202);
      expect(await store.hasBlob(blob)).toBe(false);
      await expect(readAll(store, blob)).rejects.toMatchObject({ code: 'not-found' });
      await put(store, bytes);
      expect((await readAll(store, blob)).equals(bytes)).toBe(true);
    },
  },
];
