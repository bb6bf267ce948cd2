import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { digestHex, digestOf } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { PartCache } from './part-cache.ts';

let directory: AbsPath;
beforeEach(async () => {
  directory = (await mkdtemp(path.join(tmpdir(), 'parts-'))) as AbsPath;
  return () => rm(directory, { recursive: true });
});

const MIB = 1 << 20;

function blobOf(name: string) {
  return { digest: digestOf(name), sizeBytes: 64 * MIB, verityRoot: '0'.repeat(64) };
}

/** Keeps a mebibyte of a blob that was used so many seconds ago. */
async function keep(cache: PartCache, name: string, ageSeconds: number): Promise<string> {
  const blob = blobOf(name);
  await using parts = await cache.open(blob);
  expect(await parts.write(MIB, Buffer.alloc(MIB, 1))).toBe(true);
  const used = new Date(Date.now() - ageSeconds * 1000);
  await utimes(cache.partPath(blob.digest), used, used);
  return digestHex(blob.digest);
}

it('keeps parts, and gives zeros for what is not there', async () => {
  const cache = new PartCache(directory);
  await keep(cache, 'one', 0);
  await using parts = await cache.open(blobOf('one'));
  expect((await parts.read(MIB, MIB)).equals(Buffer.alloc(MIB, 1))).toBe(true);
  expect((await parts.read(0, MIB)).equals(Buffer.alloc(MIB))).toBe(true);
  expect(await parts.write(64 * MIB, Buffer.alloc(1))).toBe(false);
});

it('counts what lies on the disk', async () => {
  const cache = new PartCache(directory);
  const key = await keep(cache, 'one', 100);
  const [part, ...rest] = await cache.list();
  expect(rest).toEqual([]);
  expect(part).toMatchObject({ key, inUse: false });
  expect(part!.sizeBytes).toBeGreaterThanOrEqual(MIB);
  expect(part!.sizeBytes).toBeLessThan(2 * MIB);
});

it('makes room by what was not used for longest, except what is open', async () => {
  const cache = new PartCache(directory, 100 * MIB);
  const [oldest, old, young] = [await keep(cache, 'a', 300), await keep(cache, 'b', 200), await keep(cache, 'c', 100)];
  await using _open = await cache.open(blobOf('a'));
  await utimes(cache.partPath(blobOf('a').digest), 0, 0);
  const removed = await cache.prune(2.5 * MIB);
  expect(removed.map(part => part.key)).toEqual([old]);
  expect((await cache.list()).map(part => part.key).toSorted()).toEqual([oldest, young].toSorted());
  expect(await readdir(path.join(directory, 'trash'))).toEqual([]);
});

it('keeps nothing more where what is open alone is too much', async () => {
  const cache = new PartCache(directory, 2 * MIB);
  await using parts = await cache.open(blobOf('a'));
  for (let at = 0; at < 3; at++) await parts.write(at * MIB, Buffer.alloc(MIB, 1));
  expect(await parts.write(5 * MIB, Buffer.alloc(MIB, 1))).toBe(false);
});

it('removes nothing that is in use', async () => {
  const cache = new PartCache(directory);
  const key = await keep(cache, 'a', 0);
  {
    await using _open = await cache.open(blobOf('a'));
    expect(await cache.remove(key)).toBe(false);
  }
  expect(await cache.remove('../parts')).toBe(false);
  expect(await cache.remove(key)).toBe(true);
  expect(await cache.remove(key)).toBe(true);
  expect(await cache.list()).toEqual([]);
});

it('opens beside removals without losing the place', async () => {
  const cache = new PartCache(directory);
  const key = digestHex(blobOf('a').digest);
  const open = async () => {
    await using parts = await cache.open(blobOf('a'));
    expect(await parts.write(0, Buffer.alloc(4096, 7))).toBe(true);
    expect((await parts.read(0, 4096)).equals(Buffer.alloc(4096, 7))).toBe(true);
  };
  for (let round = 0; round < 20; round++) {
    await Promise.all([open(), cache.remove(key), open(), cache.remove(key)]);
  }
});

it('has nothing where it cannot write', async () => {
  await writeFile(path.join(directory, 'file'), '');
  const cache = new PartCache(path.join(directory, 'file') as AbsPath);
  await using parts = await cache.open(blobOf('a'));
  expect(await parts.write(0, Buffer.alloc(10))).toBe(false);
  expect((await parts.read(0, 10)).equals(Buffer.alloc(10))).toBe(true);
});
