import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import { absPath } from '../core/paths.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import { jsonDocument } from '../oci/compose.ts';
import { LayoutStore } from '../oci/layout.ts';
import { MediaType } from '../oci/media-types.ts';
import { MemoryStore } from '../oci/memory-store.ts';
import type { UpdatedImage } from './update-image.ts';
import { publishUpdate, type NewVersion } from './update-publish.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'stk-update-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

const STORES: Readonly<Record<string, () => Promise<BlobStore>>> = {
  layout: () => LayoutStore.create(absPath('oci', directory)),
  'another store': async () => new MemoryStore(),
};

/** An image whose one layer lies in another store. */
async function update(name: string): Promise<UpdatedImage> {
  const from = new MemoryStore('elsewhere');
  const bytes = Buffer.from(`layer of ${name}`);
  const layer = { mediaType: MediaType.layerSquashfs, digest: digestOf(bytes), size: bytes.length };
  await from.putBlob(layer, async function* () {
    yield bytes;
  });
  const config = jsonDocument({ name }, MediaType.config);
  const body = { schemaVersion: 2, mediaType: MediaType.manifest, config: config.descriptor, layers: [layer] };
  return {
    config,
    manifest: jsonDocument(body, MediaType.manifest),
    layers: [layer],
    fresh: [{ descriptor: layer, from: { blob: { store: from, descriptor: layer } } }],
    removed: [],
    settled: [],
    renumbered: [],
    remarks: [],
  };
}

function only(image: UpdatedImage): NewVersion {
  return { images: [image], index: undefined };
}

it.each(Object.keys(STORES))('brings blobs to a %s, lets it be signed, and moves the tag last', async kind => {
  const store = await STORES[kind]!();
  const image = await update('one');
  const seen: unknown[] = [];
  await publishUpdate(store, only(image), {
    tag: 'app',
    expected: undefined,
    sign: async ({ digest }) => {
      seen.push(digest, await store.resolve('app'), await store.hasBlob(image.layers[0]!));
    },
  });
  expect(seen).toEqual([image.manifest.descriptor.digest, undefined, true]);
  expect((await store.resolve('app'))?.digest).toBe(image.manifest.descriptor.digest);
});

it.each(Object.keys(STORES))('leaves a tag of a %s alone that is not what it was', async kind => {
  const store = await STORES[kind]!();
  const [one, two, three] = [await update('one'), await update('two'), await update('three')];
  await publishUpdate(store, only(one), { tag: 'app', expected: undefined });
  await publishUpdate(store, only(two), { tag: 'app', expected: one.manifest.descriptor.digest });
  for (const expected of [undefined, one.manifest.descriptor.digest]) {
    const late = publishUpdate(store, only(three), { tag: 'app', expected });
    await expect(late).rejects.toMatchObject({ code: 'conflict' });
  }
  expect((await store.resolve('app'))?.digest).toBe(two.manifest.descriptor.digest);
});

it('lets one of many that update a layout at once win, and tells the others', async () => {
  const store = await STORES['layout']!();
  const first = await update('first');
  await publishUpdate(store, only(first), { tag: 'app', expected: undefined });
  const expected = first.manifest.descriptor.digest;
  const images = await Promise.all(Array.from({ length: 8 }, (_, index) => update(`next ${index}`)));
  const results = await Promise.allSettled(
    images.map(image => publishUpdate(store, only(image), { tag: 'app', expected })),
  );
  const won = results.flatMap((result, index) => (result.status === 'fulfilled' ? [index] : []));
  expect(won).toHaveLength(1);
  expect((await store.resolve('app'))?.digest).toBe(images[won[0]!]!.manifest.descriptor.digest);
});

it('moves nothing where signing fails', async () => {
  const store = await STORES['layout']!();
  const sign = () => Promise.reject(new Error('no key'));
  await expect(
    publishUpdate(store, only(await update('one')), { tag: 'app', expected: undefined, sign }),
  ).rejects.toThrow();
  expect(await store.resolve('app')).toBeUndefined();
});
