import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import { absPath } from '../core/paths.ts';
import { jsonDocument } from '../oci/compose.ts';
import { MediaType } from '../oci/media-types.ts';
import { MemoryStore } from '../oci/memory-store.ts';
import { RecordCache } from './record-cache.ts';
import { resolveRemembered } from './resolve-remembered.ts';

const PLATFORM = { os: 'linux', architecture: 'amd64' };
const CONFIG = String.raw`{
  "x": [1.0, 12345678901234567890, null, {"b": 1, "a": 2}],
  "rootfs": {"type": "layers", "extra": -0, "diff_ids": []},
  "os": "linux", "history": null, "7": {"2": 1e400, "1": 0.10},
  "config": {"Labels": {"b": "\u003c", "a": "", "10": "ten", "9": "nine"}, "Cmd": null, "Healthcheck": {"Retries": 9007199254740993}},
  "architecture": "amd64"
}`;

let home: string;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'stk-remembered-'));
});
afterEach(() => rm(home, { recursive: true }));

async function storeWithImage(): Promise<MemoryStore> {
  const store = new MemoryStore();
  const bytes = Buffer.from(CONFIG);
  const config = { mediaType: MediaType.config, digest: digestOf(bytes), size: bytes.byteLength };
  await store.putBlob(config, async function* () {
    yield bytes;
  });
  const manifest = { schemaVersion: 2, layers: [], config, mediaType: MediaType.manifest, x: null, '1': 1.5 };
  await store.putManifest(jsonDocument(manifest, MediaType.manifest), 'v1');
  return store;
}

it('remembers documents to the last digit, in the order of their members', async () => {
  const store = await storeWithImage();
  const resolve = (from: MemoryStore) =>
    resolveRemembered(
      { store: from, reference: 'v1', platform: PLATFORM },
      new RecordCache(absPath('cache', home)),
      undefined,
    );
  const fresh = await resolve(store);
  let blobs = 0;
  store.readBlob = () => {
    blobs += 1;
    throw new Error('it is remembered');
  };
  const remembered = await resolve(store);
  expect(blobs).toBe(0);
  expect(remembered).toEqual(fresh);
  for (const image of [fresh, remembered]) {
    const written = jsonDocument({ ...image.config, created: 'now' }, MediaType.config).bytes;
    const minified = CONFIG.replaceAll(/\s/g, '');
    expect(Buffer.from(written).toString()).toBe(`${minified.slice(0, -1)},"created":"now"}`);
  }
});

it('takes a record that it does not understand for none', async () => {
  const store = await storeWithImage();
  const records = new RecordCache(absPath('cache', home));
  const fresh = await resolveRemembered({ store, reference: 'v1', platform: PLATFORM }, records, undefined);
  const get = records.get.bind(records);
  for (const other of [{ manifest: { layers: [] } }, { config: '{"os":' }, { manifest: '{}' }, { descriptor: 1 }]) {
    records.get = async (kind, key) => ({ ...((await get(kind, key)) as object), ...other });
    expect(await resolveRemembered({ store, reference: 'v1', platform: PLATFORM }, records, undefined)).toEqual(fresh);
  }
});
