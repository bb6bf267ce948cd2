import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requires } from '../../test/rig/gates.ts';
import {
  bytesOf,
  describeDirectory,
  describeImage,
  openImage,
  packDirectory,
  scratch,
  tool,
  writeSampleTree,
  writeSocket,
} from '../../test/fixtures/squashfs-images.ts';

requires('root', 'tool:mksquashfs', 'tool:tar2sqfs', 'tool:setfattr', 'tool:xz');

let space: Awaited<ReturnType<typeof scratch>>;
let tree: string;
let expected: string[];
let image: string;

beforeAll(async () => {
  space = await scratch();
  tree = path.join(space.dir, 'tree');
  fs.mkdirSync(tree);
  await writeSampleTree(tree);
  await writeSocket(path.join(tree, 'socket'));
  expected = describeDirectory(tree);
  image = path.join(space.dir, 'default.sqfs');
  await packDirectory(tree, image, '-comp', 'zstd', '-Xcompression-level', '3');
});
afterAll(() => space[Symbol.asyncDispose]());

const zstd = ['-comp', 'zstd', '-Xcompression-level', '3'];

describe('an image of mksquashfs equals the directory it was made of', () => {
  it.each<[string, string[]]>([
    ['gzip', ['-comp', 'gzip']],
    ['gzip with strategies', ['-comp', 'gzip', '-Xstrategy', 'huffman_only,fixed']],
    ['zstd 1', ['-comp', 'zstd', '-Xcompression-level', '1']],
    ['zstd 15', ['-comp', 'zstd']],
    ['zstd 22', ['-comp', 'zstd', '-Xcompression-level', '22']],
    ['lz4', ['-comp', 'lz4']],
    ['lz4 hc', ['-comp', 'lz4', '-Xhc']],
    ['xz', ['-comp', 'xz']],
    ['xz with filters', ['-comp', 'xz', '-Xbcj', 'x86,arm']],
    ['lzma', ['-comp', 'lzma', '-b', '1M']],
    ['4 KiB blocks', [...zstd, '-b', '4K']],
    ['64 KiB blocks', ['-comp', 'gzip', '-b', '64K']],
    ['1 MiB blocks', [...zstd, '-b', '1M']],
    ['no fragments', [...zstd, '-no-fragments']],
    ['always fragments', [...zstd, '-always-use-fragments']],
    ['nothing compressed', ['-noI', '-noId', '-noD', '-noF', '-noX']],
    ['inodes uncompressed', [...zstd, '-noI']],
    ['data uncompressed', [...zstd, '-noD', '-noF']],
    ['no exports', [...zstd, '-no-exports']],
    ['no duplicate check', [...zstd, '-no-duplicates']],
  ])('%s', async (_, options) => {
    await using scope = await scratch();
    const file = path.join(scope.dir, 'image');
    await packDirectory(tree, file, ...options);
    await using reader = await openImage(file);
    expect(await describeImage(reader)).toEqual(expected);
  });
});

it.each(['gzip', 'zstd', 'lz4', 'xz', 'lzma'])('an image of tar2sqfs with %s equals the directory', async comp => {
  await using scope = await scratch();
  const file = path.join(scope.dir, 'image');
  const tar = path.join(scope.dir, 'tar');
  await tool('tar', '--xattrs', '--xattrs-include=*', '--exclude=./socket', '-C', tree, '-cf', tar, '.');
  await tool('sh', '-c', `tar2sqfs -q -c ${comp} ${file} <${tar}`);
  await using reader = await openImage(file);
  // tar2sqfs takes the root's attributes from its defaults where the archive's `.` is not applied to it.
  const withoutRoot = (lines: string[]) => lines.filter(line => !line.startsWith('""|') && !line.includes('|socket|'));
  expect(withoutRoot(await describeImage(reader))).toEqual(withoutRoot(expected));
});

it('lzo is unsupported', async () => {
  await using scope = await scratch();
  const file = path.join(scope.dir, 'image');
  await packDirectory(path.join(tree, 'empty'), file, '-comp', 'lzo');
  await expect(openImage(file)).rejects.toMatchObject({ code: 'unsupported' });
});

it('lists paths as unsquashfs does', async () => {
  await using reader = await openImage(image);
  const paths: string[] = [];
  for await (const { path } of reader.walk()) paths.push(path === '' ? 'squashfs-root' : `squashfs-root/${path}`);
  const listed = (await tool('unsquashfs', '-l', image)).toString('latin1');
  expect(`${paths.join('\n')}\n`).toBe(listed);
});

describe('paths', () => {
  it.each<[string, string | undefined]>([
    ['', 'directory'],
    ['/', 'directory'],
    ['./deep//er/', 'directory'],
    ['deep/er/still/hard', 'file'],
    ['link', 'symlink'],
    ['link/x', undefined],
    ['text/x', undefined],
    ['nothing', undefined],
    ['deep/nothing', undefined],
    ['odd/caf\xe9', 'file'],
    ['odd/link \xc3\x28', 'symlink'],
    [`many/${'entry-'.repeat(8)}0`, 'file'],
    [`many/${'entry-'.repeat(8)}899`, 'file'],
    [`many/${'entry-'.repeat(8)}900`, undefined],
    ['many/a', undefined],
    ['many/z', undefined],
  ])('lookup %j', async (path, type) => {
    await using reader = await openImage(image);
    expect((await reader.lookup(path))?.type).toBe(type);
  });

  it('finds every name of a directory with an index', async () => {
    await using reader = await openImage(image);
    const directory = await reader.lookup('many');
    if (directory?.type !== 'directory') throw new Error('no directory');
    expect(directory.listing.indexCount).toBeGreaterThan(0);
    for (const name of fs.readdirSync(path.join(tree, 'many'))) {
      expect(await reader.child(directory, name)).toMatchObject({ type: 'file', size: /\d+$/.exec(name)![0].length });
    }
  });

  it('finds inodes by number', async () => {
    await using reader = await openImage(image);
    for await (const { node } of reader.walk()) expect((await reader.inodeByNumber(node.number)).ref).toBe(node.ref);
    await expect(reader.inodeByNumber(0)).rejects.toMatchObject({ code: 'invalid-input' });
    await expect(reader.inodeByNumber(1e6)).rejects.toMatchObject({ code: 'invalid-input' });
  });
});

describe('symlinks', () => {
  const links: readonly (readonly [name: string, target: string])[] = [
    ['absolute', '/a/b/file'],
    ['up', '../../../../a/b/file'],
    ['a/back', '../a/./b'],
    ['chain', 'a/back/../b/file'],
    ['loop', 'pool'],
    ['pool', 'loop'],
    ['self', 'self/x'],
    ['dangling', 'a/none'],
    ['through', 'a/b/file/x'],
    ['root', '/'],
    ...Array.from({ length: 45 }, (_, i) => [`n${i}`, i === 0 ? 'a/b/file' : `n${i - 1}`] as const),
  ];

  it.each<[string, string | undefined | Error]>([
    ['absolute', 'a/b/file'],
    ['up', 'a/b/file'],
    ['a/back/file', 'a/b/file'],
    ['chain', 'a/b/file'],
    ['root/a/b/../../absolute', 'a/b/file'],
    ['root', ''],
    ['../../a', 'a'],
    ['dangling', undefined],
    ['through', undefined],
    ['n39', 'a/b/file'],
    ['n40', new Error('invalid-input')],
    ['loop', new Error('invalid-input')],
    ['self', new Error('invalid-input')],
  ])('resolve %s', async (from, to) => {
    await using scope = await scratch();
    const dir = path.join(scope.dir, 'tree');
    fs.mkdirSync(path.join(dir, 'a/b'), { recursive: true });
    fs.writeFileSync(path.join(dir, 'a/b/file'), 'x');
    for (const [name, target] of links) fs.symlinkSync(target, path.join(dir, name));
    await packDirectory(dir, `${dir}.sqfs`);
    await using reader = await openImage(`${dir}.sqfs`);
    if (to instanceof Error) await expect(reader.resolve(from)).rejects.toMatchObject({ code: to.message });
    else expect((await reader.resolve(from))?.path).toBe(to);
  });
});

describe('content', () => {
  it.each([
    [0, 10],
    [131070, 5],
    [131072, 131072],
    [100_000, 400_000],
    [1_299_990, 100],
    [1_300_001, 5],
    [2_000_000, 5],
    [0, 1_300_001],
  ])('reads %d + %d bytes', async (offset, length) => {
    await using reader = await openImage(image);
    for (const name of ['noise', 'mixed', 'sparse', 'small']) {
      const file = await reader.lookup(name);
      if (file?.type !== 'file') throw new Error('no file');
      const whole = fs.readFileSync(path.join(tree, name));
      const piece = await reader.readFile(file, { offset, length });
      expect(piece.equals(whole.subarray(offset, offset + length))).toBe(true);
    }
  });

  it('refuses to return more than the caller allows', async () => {
    await using reader = await openImage(image);
    const file = await reader.lookup('noise');
    if (file?.type !== 'file') throw new Error('no file');
    await expect(reader.readFile(file, { maxBytes: 1000 })).rejects.toMatchObject({ code: 'unsupported' });
  });

  it('says where the bytes lie', async () => {
    await using reader = await openImage(image);
    const extentsOf = async (name: string) => {
      const file = await reader.lookup(name);
      if (file?.type !== 'file') throw new Error('no file');
      return { extents: await reader.dataExtents(file), file };
    };
    const { extents } = await extentsOf('noise');
    // Noise is stored as it is, so the extent holds the file's whole blocks themselves.
    const { offset, sizeBytes } = extents[0]!;
    expect(sizeBytes).toBeGreaterThanOrEqual(9 * 131072);
    const stored = fs.readFileSync(image).subarray(offset, offset + 9 * 131072);
    expect(stored.equals(fs.readFileSync(path.join(tree, 'noise')).subarray(0, stored.length))).toBe(true);
    expect((await extentsOf('hole')).extents).toEqual([]);
    expect((await extentsOf('zero')).extents).toEqual([]);
    let blocks = 0;
    for await (const block of reader.dataBlocks((await extentsOf('mixed')).file))
      blocks += block.storedBytes > 0 ? 1 : 0;
    expect(blocks).toBeGreaterThan(3);
    let fragments = 0;
    for await (const block of reader.fragmentBlocks()) fragments += block.storedBytes > 0 ? 1 : 0;
    expect(fragments).toBe(reader.superblock.fragmentCount);
  });
});

it('stops when its signal fires', async () => {
  await using reader = await openImage(image);
  const controller = new AbortController();
  const walk = async () => {
    for await (const { depth } of reader.walk({ signal: controller.signal })) if (depth > 0) controller.abort();
  };
  await expect(walk()).rejects.toMatchObject({ code: 'interrupted' });
});

it('does not go where it is told not to', async () => {
  await using reader = await openImage(image);
  const paths: string[] = [];
  for await (const { path } of reader.walk({ path: 'deep', descend: entry => entry.depth < 1 })) paths.push(path);
  expect(paths.filter(path => path.startsWith('deep/er'))).toEqual(['deep/er']);
  expect(paths).toHaveLength(fs.readdirSync(path.join(tree, 'deep')).length + 1);
});

it('a blob that goes on behind the image is fine', async () => {
  await using scope = await scratch();
  const longer = path.join(scope.dir, 'longer');
  fs.writeFileSync(longer, Buffer.concat([fs.readFileSync(image), bytesOf('verity'.repeat(5000))]));
  await using reader = await openImage(longer);
  expect(await describeImage(reader)).toEqual(expected);
});
