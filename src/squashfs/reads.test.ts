import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bytesOf, packDirectory, scratch } from '../../test/fixtures/squashfs-images.ts';
import { requires } from '../../test/rig/gates.ts';
import type { BlobReader } from '../core/blob-reader.ts';
import { openFileReader } from '../host/file-reader.ts';
import { openSquashfs } from './squashfs-reader.ts';

requires('root', 'tool:mksquashfs');

const COUNT = 60_000;
const nameOf = (i: number) => `file-${'x'.repeat(i % 60)}-${i}`;

let space: Awaited<ReturnType<typeof scratch>>;
let image: string;

beforeAll(async () => {
  space = await scratch();
  const big = path.join(space.dir, 'many/big');
  fs.mkdirSync(big, { recursive: true });
  for (let i = 0; i < COUNT; i++) {
    fs.writeFileSync(path.join(big, nameOf(i)), '');
    fs.lchownSync(path.join(big, nameOf(i)), i % 5000, 0);
  }
  image = path.join(space.dir, 'image');
  await packDirectory(path.dirname(big), image, '-comp', 'gzip');
});
afterAll(() => space[Symbol.asyncDispose]());

/** A reader that notes what is read. */
async function noting(file: string) {
  const inner = await openFileReader(file);
  const reads: [offset: number, length: number][] = [];
  const reader: BlobReader = {
    sizeBytes: inner.sizeBytes,
    name: inner.name,
    readAt(offset, length, signal) {
      reads.push([offset, length]);
      return inner.readAt(offset, length, signal);
    },
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
  return { image: await openSquashfs(reader), reads };
}

it('walks a directory of 60,000 files and thousands of owners in a few reads', async () => {
  const { image: reader, reads } = await noting(image);
  await using _ = reader;
  const names: string[] = [];
  const owners = new Set<number>();
  for await (const { path, node } of reader.walk()) {
    if (path.startsWith('big/')) names.push(path.slice(4));
    owners.add(node.uid);
  }
  const expected = Array.from({ length: COUNT }, (_, i) => nameOf(i)).sort((a, b) => bytesOf(a).compare(bytesOf(b)));
  expect(names).toEqual(expected);
  expect(owners.size).toBe(5000);
  expect(reads.length).toBeLessThanOrEqual(3 + Math.ceil(reader.superblock.bytesUsed / 2 ** 20));
});

it('finds one path with few small reads', async () => {
  for (const i of [0, 777, 31_234, COUNT - 1]) {
    const { image: reader, reads } = await noting(image);
    await using _ = reader;
    expect(await reader.lookup(`big/${nameOf(i)}`)).toMatchObject({ type: 'file', uid: i % 5000 });
    expect(await reader.lookup(`big/${nameOf(i)}-`)).toBeUndefined();
    expect(reads.length).toBeLessThanOrEqual(12);
    expect(Math.max(...reads.map(([, length]) => length))).toBeLessThanOrEqual(64 * 1024);
  }
});

it('shares reads among concurrent callers, and survives that one of them is gone', async () => {
  const { image: reader, reads } = await noting(image);
  await using _ = reader;
  const controller = new AbortController();
  const gone = reader.lookup(`big/${nameOf(5)}`, controller.signal);
  const others = Array.from({ length: 50 }, () => reader.lookup(`big/${nameOf(5)}`));
  controller.abort();
  await expect(gone).rejects.toMatchObject({ code: 'interrupted' });
  for (const found of await Promise.all(others)) expect(found?.type).toBe('file');
  expect(reads.length).toBeLessThanOrEqual(14);
});

it('reads neighbouring blocks of a file at once', async () => {
  const dir = path.join(space.dir, 'tree');
  fs.mkdirSync(dir);
  const content = Buffer.from(Array.from({ length: 500_000 }, (_, i) => `${i}\n`).join(''));
  fs.writeFileSync(path.join(dir, 'file'), content);
  await packDirectory(dir, `${dir}.sqfs`, '-b', '8K', '-comp', 'gzip', '-no-fragments');
  const { image: reader, reads } = await noting(`${dir}.sqfs`);
  await using _ = reader;
  const file = await reader.lookup('file');
  if (file?.type !== 'file') throw new Error('no file');
  const before = reads.length;
  expect((await reader.readFile(file)).equals(content)).toBe(true);
  expect(reads.length - before).toBeLessThanOrEqual(4);
});
