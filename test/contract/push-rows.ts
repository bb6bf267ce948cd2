import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import { jsonDocument } from '../../src/oci/compose.ts';
import { MediaType } from '../../src/oci/media-types.ts';
import { FALLBACK_TAG, describeBytes, pushImage, put, type Row } from './registry-peer.ts';

/** distribution-spec, "Push". */
export const PUSH: readonly Row[] = [
  ...[0, 1, 900_000].map((sizeBytes): Row => ({
    section: 'Pushing a blob monolithically',
    expects: `${sizeBytes} bytes arrive`,
    run: async ({ open, raw }, repository) => {
      const bytes = randomBytes(sizeBytes);
      const { digest } = await put(open(repository), bytes);
      const { status, body } = await raw.send('GET', `${repository}/blobs/${digest}`);
      expect([status, body.equals(bytes)]).toEqual([200, true]);
    },
  })),
  {
    section: 'Pushing a blob in chunks',
    expects: 'the chunks arrive in order, the last one shorter',
    run: async ({ open, raw }, repository) => {
      const bytes = randomBytes(700_001);
      const { digest } = await put(open(repository, { chunkBytes: 200_000 }), bytes);
      expect((await raw.send('GET', `${repository}/blobs/${digest}`)).body.equals(bytes)).toBe(true);
    },
  },
  {
    section: 'Pushing blobs',
    expects: 'bytes that do not match their digest leave nothing',
    run: async ({ open, raw }, repository) => {
      const descriptor = describeBytes(randomBytes(1000));
      const wrong = open(repository).putBlob(descriptor, async function* () {
        yield Buffer.alloc(1000);
      });
      await expect(wrong).rejects.toMatchObject({ code: 'integrity' });
      expect((await raw.send('HEAD', `${repository}/blobs/${descriptor.digest}`)).status).toBe(404);
    },
  },
  {
    section: 'Mounting a blob from another repository',
    expects: 'takes no bytes where the registry mounts, and all of them where it has nothing to mount',
    run: async ({ open, raw }, repository) => {
      const bytes = randomBytes(5000);
      const descriptor = await put(open(`${repository}/from`), bytes);
      let reads = 0;
      const source = async function* () {
        reads++;
        yield bytes;
      };
      const { place: from } = open(`${repository}/from`);
      await open(`${repository}/to`).putBlob(descriptor, source, { mountFrom: from });
      expect(reads).toBe(0);
      const other = open(`${repository}/none`).place;
      await open(`${repository}/third`).putBlob(descriptor, source, { mountFrom: other });
      expect(reads).toBe(1);
      for (const place of ['to', 'third']) {
        expect((await raw.send('HEAD', `${repository}/${place}/blobs/${descriptor.digest}`)).status).toBe(200);
      }
    },
  },
  {
    section: 'Pushing Manifests',
    expects: 'by tag and by digest, under the type that it has, byte for byte',
    run: async ({ open, raw }, repository) => {
      const store = open(repository);
      for (const tag of ['v1', undefined]) {
        const { descriptor, bytes } = await pushImage(store, tag);
        const { status, headers, body } = await raw.send('GET', `${repository}/manifests/${tag ?? descriptor.digest}`, {
          accept: MediaType.manifest,
        });
        expect([status, headers['content-type'], digestOf(body)]).toEqual([200, MediaType.manifest, digestOf(bytes)]);
      }
    },
  },
  {
    section: 'Pushing Manifests',
    expects: 'a tag moves to what is pushed last, and what it named stays under its digest',
    run: async ({ open }, repository) => {
      const store = open(repository);
      const first = await pushImage(store, 'v1');
      const second = await pushImage(store, 'v1');
      expect((await store.resolve('v1'))?.digest).toBe(second.descriptor.digest);
      expect((await store.readManifest(first.descriptor.digest)).descriptor.digest).toBe(first.descriptor.digest);
    },
  },
  {
    section: 'Pushing Manifests',
    expects: 'a manifest that names an absent blob is refused, where the registry looks',
    run: async ({ open, checksReferences }, repository) => {
      const store = open(repository);
      const layers = [describeBytes(Buffer.from('absent'), MediaType.layerTar)];
      const config = await put(store, Buffer.from('{}'), MediaType.config);
      const manifest = { schemaVersion: 2, mediaType: MediaType.manifest, config, layers };
      const pushed = store.putManifest(jsonDocument(manifest, MediaType.manifest), 'v1');
      if (checksReferences) await expect(pushed).rejects.toMatchObject({ code: 'registry' });
      else await pushed;
      expect(await store.tags()).toEqual(checksReferences ? [] : ['v1']);
    },
  },
  {
    section: 'Pushing Manifests with Subject',
    expects: 'the referrer is listed, by the registry or by the client under the fallback tag',
    run: async ({ open, raw, referrers }, repository) => {
      const store = open(repository);
      const subject = (await pushImage(store, 'v1')).descriptor;
      const empty = await put(store, Buffer.from('{}'), MediaType.empty);
      const more = { artifactType: 'application/x.bill', config: empty, layers: [empty], subject };
      const { descriptor } = await pushImage(store, undefined, { ...more, annotations: { of: 'goods' } });
      const path = referrers ? `referrers/${subject.digest}` : `manifests/${FALLBACK_TAG(subject.digest)}`;
      const { status, body } = await raw.send('GET', `${repository}/${path}`, { accept: MediaType.index });
      expect(status).toBe(200);
      const { manifests } = JSON.parse(body.toString()) as { manifests: object[] };
      const entry = { ...descriptor, artifactType: 'application/x.bill', annotations: { of: 'goods' } };
      expect(manifests).toEqual([entry]);
    },
  },
];
