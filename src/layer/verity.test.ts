import { copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bufferReader } from '../core/blob-reader.ts';
import { digestOf } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { finishBlob, type FinishOptions } from './finish-blob.ts';
import type { LayerBlob } from './layer-blob.ts';
import { run, temporaryDirectory } from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import { formatVeritySuperblock, locateVerity, parseVeritySuperblock, verityLevels } from './verity-format.ts';
import { VerityTree } from './verity-tree.ts';

requires('tool:veritysetup');

const directory = temporaryDirectory();
afterAll(() => directory[Symbol.dispose]());

/** Something that looks like a squashfs image of so many bytes; content does not matter to verity. */
function fakeImage(name: string, sizeBytes: number): AbsPath {
  const bytes = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 97) bytes[at] = at % 251;
  bytes.write('hsqs', 0, 'latin1');
  bytes.writeBigUInt64LE(BigInt(sizeBytes), 40);
  const path = `${directory}/${name}` as AbsPath;
  writeFileSync(path, bytes);
  return path;
}

async function finish(path: AbsPath, options: FinishOptions): Promise<LayerBlob> {
  await using file = await open(path, 'r+');
  return await finishBlob({ file, path }, options);
}

describe('the appended tree', () => {
  it.each([96, 4096, 4097, 127 * 4096, 128 * 4096, 129 * 4096, (128 * 128 + 1) * 4096 - 5])(
    'of an image of %i bytes is the one that veritysetup writes',
    async sizeBytes => {
      const image = fakeImage('image', sizeBytes);
      const plain = `${directory}/plain`;
      copyFileSync(image, plain);
      const { verityRoot = '', digest, sizeBytes: blobBytes } = await finish(image, { verity: true });
      const blob = readFileSync(image);
      expect(digest).toBe(digestOf(blob));
      expect(blobBytes).toBe(blob.length);
      const offset = locateVerity(blob.length, sizeBytes)!;
      run('veritysetup', 'verify', image, image, verityRoot, `--hash-offset=${offset}`);
      const { salt, uuid, dataBlocks } = parseVeritySuperblock(blob.subarray(offset, offset + 512));
      truncateSync(plain, offset);
      const uuidText = uuid.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
      const identity = [`--salt=${salt.toString('hex')}`, `--uuid=${uuidText}`];
      run('veritysetup', 'format', plain, plain, `--hash-offset=${offset}`, `--data-blocks=${dataBlocks}`, ...identity);
      expect(readFileSync(plain).equals(blob)).toBe(true);
    },
  );

  it('is the same for the same image, and another for another', async () => {
    const roots: (string | undefined)[] = [];
    for (const [name, size] of [
      ['a', 9000],
      ['b', 9000],
      ['c', 9001],
    ] as const) {
      roots.push((await finish(fakeImage(name, size), { verity: true })).verityRoot);
    }
    expect(roots[0]).toBe(roots[1]);
    expect(roots[0]).not.toBe(roots[2]);
  });

  it('is left out where it is not wanted, padding is not', async () => {
    const image = fakeImage('plain-image', 5000);
    expect(await finish(image, { verity: false })).toEqual({
      digest: digestOf(readFileSync(image)),
      sizeBytes: 8192,
    });
  });

  it('is not appended to what is no image', async () => {
    writeFileSync(`${directory}/text`, 'hello');
    await expect(finish(`${directory}/text` as AbsPath, { verity: true })).rejects.toMatchObject({
      code: 'invalid-input',
    });
  });

  it('stops when the signal fires', async () => {
    const signal = AbortSignal.abort();
    await expect(finish(fakeImage('stop', 9000), { verity: true, signal })).rejects.toMatchObject({
      code: 'interrupted',
    });
  });
});

describe('checking blocks', () => {
  const sizeBytes = 300 * 4096;
  let blob = Buffer.alloc(0);
  let root = '';
  beforeAll(async () => {
    const image = fakeImage('checked', sizeBytes);
    root = (await finish(image, { verity: true })).verityRoot!;
    blob = readFileSync(image);
  });

  const open = (bytes: Buffer, hash = root) => VerityTree.open(bufferReader(bytes), { offset: sizeBytes, root: hash });

  it('accepts every block, in any order', async () => {
    const tree = await open(blob);
    expect(tree.blockBytes).toBe(4096);
    for (const index of [299, 0, 128, 127])
      await tree.verifyBlock(index, blob.subarray(index * 4096, (index + 1) * 4096));
    await tree.verifyBlocks(0, blob.subarray(0, sizeBytes));
  });

  it('finds one flipped bit, in the data or in the tree', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(blob.length - 1), fc.nat(7), async (at, bit) => {
        // Between superblock and tree, and in its padding, nothing is read.
        fc.pre(at < sizeBytes || at >= sizeBytes + 4096);
        const bytes = Buffer.from(blob);
        bytes[at]! ^= 1 << bit;
        const verify = async () => (await open(bytes)).verifyBlocks(0, bytes.subarray(0, sizeBytes));
        await expect(verify()).rejects.toMatchObject({ code: 'integrity' });
      }),
      { numRuns: 40 },
    );
  });

  it('refuses another root, a tree that is cut off, and blocks beyond the end', async () => {
    const other = await open(blob, '0'.repeat(64));
    await expect(other.verifyBlock(0, blob.subarray(0, 4096))).rejects.toMatchObject({ code: 'integrity' });
    await expect(open(blob.subarray(0, blob.length - 4096))).rejects.toMatchObject({ code: 'integrity' });
    await expect(open(blob.subarray(0, sizeBytes))).rejects.toMatchObject({ code: 'integrity' });
    await expect(open(blob, 'zz')).rejects.toMatchObject({ code: 'invalid-input' });
    const tree = await open(blob);
    await expect(tree.verifyBlock(300, blob.subarray(0, 4096))).rejects.toMatchObject({ code: 'invalid-input' });
    await expect(tree.verifyBlock(0, blob.subarray(0, 100))).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('survives any superblock', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 80, maxLength: 80 }), fc.nat(511), async (noise, at) => {
        const bytes = Buffer.from(blob);
        bytes.set(noise.subarray(0, 512 - at), sizeBytes + at);
        const verify = async () => (await open(bytes)).verifyBlocks(0, bytes.subarray(0, sizeBytes));
        const failure = await verify().catch((error: unknown) => error);
        if (failure !== undefined) expect(failure).toBeInstanceOf(StkError);
      }),
      { numRuns: 60 },
    );
  });
});

it.each([
  [1, []],
  [2, [1]],
  [128, [1]],
  [129, [2, 1]],
  [128 * 128 + 1, [129, 2, 1]],
])('a tree over %i blocks has levels of %j blocks', (dataBlocks, counts) => {
  const levels = verityLevels(dataBlocks, 4096);
  expect(levels.map(level => level.blocks)).toEqual(counts);
  if (levels.length > 0) expect(levels.at(-1)!.firstBlock).toBe(0);
});

it('a superblock survives a round trip', () => {
  const superblock = {
    dataBlockBytes: 4096,
    hashBlockBytes: 4096,
    dataBlocks: 7,
    salt: Buffer.from('ab'),
    uuid: Buffer.alloc(16, 3),
  };
  expect(parseVeritySuperblock(formatVeritySuperblock(superblock))).toEqual(superblock);
});

it('the area starts at the next 4 KiB, if the blob reaches so far', () => {
  expect(locateVerity(8192 + 4096, 5000)).toBe(8192);
  expect(locateVerity(8192, 5000)).toBeUndefined();
  expect(locateVerity(8192, 8192)).toBeUndefined();
});
