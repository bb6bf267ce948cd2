import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { craftImage, type CraftedDirectory } from '../../test/fixtures/crafted-image.ts';
import { noise, packDirectory, scratch, tool } from '../../test/fixtures/squashfs-images.ts';
import { requires } from '../../test/rig/gates.ts';
import { bufferReader } from '../core/blob-reader.ts';
import { isStkError } from '../core/errors.ts';
import { LayerStack } from './layer-stack.ts';
import { openSquashfs } from './squashfs-reader.ts';

/** Everything an image says, up to a bound on content, since a small image may hold huge files of zeros. */
async function readAll(bytes: Uint8Array, maxContentBytes = 16 * 1024 * 1024): Promise<number> {
  await using image = await openSquashfs(bufferReader(bytes));
  let paths = 0;
  let contentBytes = 0;
  for await (const { path, depth, node } of image.walk()) {
    paths++;
    await image.xattrs(node);
    if (depth < 20 && paths % 8 === 0) await image.lookup(path);
    if (node.type !== 'file') continue;
    await image.readFile(node, { offset: Math.floor(node.size / 2), length: 1000 });
    for await (const piece of image.openFile(node)) {
      contentBytes += piece.length;
      if (contentBytes > maxContentBytes) return paths;
    }
    await image.dataExtents(node);
  }
  return paths;
}

describe('directories that form no tree', () => {
  const chain = (depth: number, last: CraftedDirectory): CraftedDirectory[] => [
    ...Array.from({ length: depth }, (_, i) => ({ entries: [{ name: 'd', directory: i + 1 }] })),
    last,
  ];
  const bomb = Array.from({ length: 40 }, (_, i) => ({
    entries: ['a', 'b', 'c'].map(name => ({ name, directory: i + 1 })),
  }));

  it('a tree 10,000 deep is read', async () => {
    expect(await readAll(craftImage(chain(10_000, { entries: [] })))).toBe(10_001);
    const image = await openSquashfs(bufferReader(craftImage(chain(10_000, { entries: [] }))));
    await using stack = new LayerStack([image]);
    let depth = 0;
    for await (const entry of stack.walk()) depth = entry.depth;
    expect(depth).toBe(10_000);
  });

  it.each<[string, CraftedDirectory[], string]>([
    ['a directory in itself', chain(0, { entries: [{ name: 'd', directory: 0 }] }), 'invalid-input'],
    ['the root far below', chain(50, { entries: [{ name: 'd', directory: 0 }] }), 'invalid-input'],
    ['a directory twice', [...bomb, { entries: [] }], 'invalid-input'],
    ['a listing longer than the table', chain(3, { entries: [], listingBytes: 5000 }), 'invalid-input'],
    ['a name with a slash', [{ entries: [{ name: 'a/b', directory: 1 }] }, { entries: [] }], 'invalid-input'],
    ['a name with a NUL', [{ entries: [{ name: 'a\0b', directory: 1 }] }, { entries: [] }], 'invalid-input'],
    ['the name ..', [{ entries: [{ name: '..', directory: 1 }] }, { entries: [] }], 'invalid-input'],
    ['a name twice', [{ entries: ['a', 'a'].map(name => ({ name, directory: 1 })) }, { entries: [] }], 'invalid-input'],
    [
      'names out of order',
      [{ entries: ['b', 'a'].map((name, i) => ({ name, directory: i + 1 })) }, { entries: [] }, { entries: [] }],
      'invalid-input',
    ],
    ['an inode that is not there', [{ entries: [{ name: 'a', directory: 9000 }] }], 'invalid-input'],
    ['a tree 20,000 deep', chain(20_000, { entries: [] }), 'unsupported'],
  ])('%s', async (_, directories, code) => {
    await expect(readAll(craftImage(directories))).rejects.toMatchObject({ code });
    await using stack = new LayerStack([await openSquashfs(bufferReader(craftImage(directories)))]);
    const walk = async () => {
      for await (const { depth } of stack.walk()) expect(depth).toBeLessThan(20_000);
    };
    await expect(walk()).rejects.toMatchObject({ code });
  });
});

describe('superblocks', () => {
  const good = craftImage([{ entries: [] }]);
  const changed = (write: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(good);
    write(bytes);
    return bytes;
  };
  const NONE = 0xffff_ffff_ffff_ffffn;

  it('the unchanged one is read', async () => {
    expect(await readAll(good)).toBe(1);
  });

  it.each<[string, Buffer, string]>([
    ['nothing', Buffer.alloc(0), 'invalid-input'],
    ['95 bytes', good.subarray(0, 95), 'invalid-input'],
    ['another magic', changed(b => b.writeUInt32LE(0x68737173, 0)), 'invalid-input'],
    ['version 3', changed(b => b.writeUInt16LE(3, 28)), 'unsupported'],
    ['version 4.1', changed(b => b.writeUInt16LE(1, 30)), 'unsupported'],
    ['compressor 0', changed(b => b.writeUInt16LE(0, 20)), 'unsupported'],
    ['compressor 7', changed(b => b.writeUInt16LE(7, 20)), 'unsupported'],
    ['block size 0', changed(b => b.writeUInt32LE(0, 12)), 'invalid-input'],
    ['block size of another log', changed(b => b.writeUInt16LE(16, 22)), 'invalid-input'],
    ['2 MiB blocks', changed(b => (b.writeUInt32LE(2 ** 21, 12), b.writeUInt16LE(21, 22))), 'invalid-input'],
    ['block log 40', changed(b => b.writeUInt16LE(40, 22)), 'invalid-input'],
    ['longer than the blob', changed(b => b.writeBigUInt64LE(BigInt(good.length + 1), 40)), 'invalid-input'],
    ['2^63 bytes long', changed(b => b.writeBigUInt64LE(1n << 63n, 40)), 'invalid-input'],
    ['no inodes', changed(b => b.writeUInt32LE(0, 4)), 'invalid-input'],
    ['no ids', changed(b => b.writeUInt16LE(0, 26)), 'invalid-input'],
    ['more ids than there is room', changed(b => b.writeUInt16LE(65535, 26)), 'invalid-input'],
    ['fragments without a table', changed(b => b.writeUInt32LE(1, 16)), 'invalid-input'],
    [
      'fragments in the wrong place',
      changed(b => (b.writeUInt32LE(9, 16), b.writeBigUInt64LE(97n, 80))),
      'invalid-input',
    ],
    ['no inode table', changed(b => b.writeBigUInt64LE(NONE, 64)), 'invalid-input'],
    ['tables in another order', changed(b => b.writeBigUInt64LE(96n, 72)), 'invalid-input'],
    ['inode table in the superblock', changed(b => b.writeBigUInt64LE(8n, 64)), 'invalid-input'],
    [
      'exports for which there is no room',
      changed(b => b.writeBigUInt64LE(BigInt(good.length - 8), 88)),
      'invalid-input',
    ],
    ['root outside of the table', changed(b => b.writeBigUInt64LE(0xffff_0000n, 32)), 'invalid-input'],
    ['root of 64 bits', changed(b => b.writeBigUInt64LE(NONE, 32)), 'invalid-input'],
  ])('%s', async (_, bytes, code) => {
    await expect(readAll(bytes)).rejects.toMatchObject({ code });
  });
});

describe('damaged images', () => {
  requires('root', 'tool:mksquashfs', 'tool:setfattr');
  let space: Awaited<ReturnType<typeof scratch>>;
  const images: { name: string; bytes: Buffer; metadata: number }[] = [];

  beforeAll(async () => {
    space = await scratch();
    const dir = path.join(space.dir, 'tree');
    fs.mkdirSync(path.join(dir, 'sub/sub'), { recursive: true });
    for (let i = 0; i < 300; i++) fs.writeFileSync(path.join(dir, `sub/${'n'.repeat(40)}${i}`), `content ${i}`);
    fs.writeFileSync(path.join(dir, 'file'), Buffer.concat([noise(1, 9000), Buffer.alloc(9000, 'text ')]));
    fs.writeFileSync(path.join(dir, 'holes'), Buffer.alloc(50_000));
    fs.symlinkSync('sub/sub/../../file', path.join(dir, 'link'));
    await tool('mknod', path.join(dir, 'device'), 'c', '1', '3');
    for (const name of ['file', 'sub', 'holes']) {
      await tool('setfattr', '-n', 'user.big', '-v', 'value '.repeat(100), path.join(dir, name));
      await tool('setfattr', '-n', 'user.overlay.opaque', '-v', 'y', path.join(dir, name));
    }
    const variants: [string, string[]][] = [
      ['stored', ['-noI', '-noId', '-noD', '-noF', '-noX', '-b', '4K']],
      ['gzip', ['-comp', 'gzip', '-b', '4K']],
      ['zstd', ['-comp', 'zstd', '-b', '8K', '-no-fragments']],
      ['lz4', ['-comp', 'lz4', '-b', '64K']],
    ];
    for (const [name, options] of variants) {
      await packDirectory(dir, path.join(space.dir, name), ...options);
      const bytes = fs.readFileSync(path.join(space.dir, name));
      images.push({ name, bytes, metadata: Number(bytes.readBigUInt64LE(64)) });
      expect(await readAll(bytes)).toBe(307);
    }
  });
  afterAll(() => space[Symbol.asyncDispose]());

  it.each(['stored', 'gzip', 'zstd', 'lz4'])('%s: any damage ends in an error of three codes, or none', async name => {
    const { bytes, metadata } = images.find(image => image.name === name)!;
    const length = Number(bytes.readBigUInt64LE(40));
    const place = fc.oneof(
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 95 }) },
      { weight: 6, arbitrary: fc.integer({ min: metadata, max: length - 1 }) },
      { weight: 1, arbitrary: fc.integer({ min: 96, max: length - 1 }) },
    );
    const value = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 255, 128, 1));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(place, value), { minLength: 1, maxLength: 6 }),
        fc.option(fc.integer({ min: 0, max: bytes.length }), { freq: 8, nil: undefined }),
        async (changes, cut) => {
          const damaged = Buffer.from(cut === undefined ? bytes : bytes.subarray(0, cut));
          for (const [at, value] of changes) if (at < damaged.length) damaged[at] = value;
          try {
            await readAll(damaged);
          } catch (error) {
            if (!isStkError(error, 'invalid-input', 'integrity', 'unsupported')) throw error;
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
