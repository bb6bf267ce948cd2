import { readdir } from 'node:fs/promises';
import { afterAll, expect, it } from 'vitest';
import { fakeBlob } from '../../test/rig/fake-registry.ts';
import type { Failure } from '../../test/rig/fake-registry-failures.ts';
import { BYTES, REPOSITORY, start } from '../../test/rig/fake-registry-store.ts';
import { quickOptions, tarOf, temporaryDirectory } from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import { silent } from '../core/events.ts';
import type { AbsPath } from '../core/paths.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { LayoutStore } from '../oci/layout.ts';
import { MediaType } from '../oci/media-types.ts';
import { LayerConverter } from './convert-layers.ts';
import { RecordCache } from './record-cache.ts';

requires('tool:tar2sqfs');

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());

const GET_BLOB = /^GET \/v2\/team\/app\/blobs\/sha256/;
const content = BYTES.toString('latin1');
const entry = { path: 'file', content };
const once = tarOf({ path: 'etc', type: 'directory' }, entry);
/** The second of two entries wins, which only a second pass can write. */
const twice = tarOf({ path: 'file', content: 'old' }, { path: 'etc', type: 'directory' }, entry);

let layouts = 0;

async function bring(store: BlobStore, blob: Descriptor, keepTar = false) {
  const place = `${home}/${++layouts}`;
  const layout = await LayoutStore.create(`${place}/oci` as AbsPath);
  const records = new RecordCache(`${place}/records` as AbsPath);
  const converter = new LayerConverter({ layout, records, packing: quickOptions, keepTar, emit: silent });
  const layer = { ...blob, mediaType: MediaType.layerTar };
  const left = async () => ({
    blobs: await readdir(`${place}/oci/blobs/sha256`),
    other: (await readdir(`${place}/oci`)).filter(name => name.startsWith('.')),
  });
  try {
    const brought = await converter.bring(store, { name: 'x', layers: [layer], diffIds: [layer.digest] });
    return { squashfs: brought[0]?.squashfs, error: undefined, ...(await left()) };
  } catch (error) {
    return { squashfs: undefined, error, ...(await left()) };
  }
}

it.each<[string, Buffer, boolean]>([
  ['read once', once, false],
  ['read twice', twice, false],
  ['kept', twice, true],
])('a tar that is %s is converted while it arrives, in pieces too', async (_, tar, keepTar) => {
  await using rig = await start();
  const blob = fakeBlob(rig.fake, REPOSITORY, tar);
  const whole = await bring(rig.store, blob);
  expect(whole.blobs).toHaveLength(1);
  for (const afterBytes of [700_000, 900_000])
    rig.fake.failNext({ match: GET_BLOB, with: { kind: 'drop', afterBytes } });
  rig.fake.failNext({ match: GET_BLOB, with: { kind: 'ignore-range' } });
  const pieces = await bring(rig.store, blob, keepTar);
  expect(rig.fake.pendingFailures).toBe(0);
  expect(pieces.squashfs).toEqual(whole.squashfs);
  expect(pieces.blobs).toHaveLength(keepTar ? 2 : 1);
  expect(pieces.other).toEqual([]);
});

it.each<[string, Failure, string]>([
  ['other bytes', { kind: 'wrong-bytes' }, 'integrity'],
  ['a longer blob', { kind: 'overlong', extraBytes: 1 }, 'integrity'],
  ['a page of a hotel', { kind: 'html' }, 'registry'],
  ['404', { kind: 'status', status: 404 }, 'not-found'],
])('leaves nothing of a tar of which a registry sends %s', async (_, failure, code) => {
  await using rig = await start();
  rig.fake.failNext({ match: GET_BLOB, with: failure });
  expect(await bring(rig.store, fakeBlob(rig.fake, REPOSITORY, once), true)).toMatchObject({
    error: { code },
    blobs: [],
    other: [],
  });
});
