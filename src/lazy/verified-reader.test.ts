import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FileServerRig } from '../../test/rig/file-server.ts';
import { requires } from '../../test/rig/gates.ts';
import { bufferReader, type BlobReader } from '../core/blob-reader.ts';
import type { BlobToServe } from './serve-spec.ts';
import { openVerified } from './verified-reader.ts';
import { dataBlocksOf } from './verity-hashes.ts';

const BLOCK = 4096;
const BLOCKS = 128 * 128 + 3;

describe('a verified reader', () => {
  requires('tool:veritysetup');
  let rig: FileServerRig;
  let blob: BlobToServe;
  let bytes: Buffer;
  beforeAll(async () => {
    rig = await FileServerRig.open();
    blob = await rig.blob('blob', BLOCKS * BLOCK);
    bytes = await readFile(blob.path);
  });
  afterAll(() => rig[Symbol.asyncDispose]());

  /** Counts how often each place of the tree is read. */
  function counting(source: Buffer): { reader: BlobReader; counts: Map<number, number> } {
    const inner = bufferReader(source);
    const counts = new Map<number, number>();
    const readAt = (offset: number, length: number) => {
      counts.set(offset, (counts.get(offset) ?? 0) + 1);
      return inner.readAt(offset, length);
    };
    return { reader: { ...inner, readAt, [Symbol.asyncDispose]: inner[Symbol.asyncDispose] }, counts };
  }

  it('gives the bytes of any range', async () => {
    await using reader = await openVerified(bufferReader(bytes), blob);
    expect(reader.sizeBytes).toBe(BLOCKS * BLOCK);
    const range = fc.tuple(fc.nat(BLOCKS * BLOCK), fc.nat(40_000));
    await fc.assert(
      fc.asyncProperty(range, async ([offset, most]) => {
        const length = Math.min(most, reader.sizeBytes - offset);
        expect((await reader.readAt(offset, length)).equals(bytes.subarray(offset, offset + length))).toBe(true);
      }),
      { numRuns: 200 },
    );
    await expect(reader.readAt(reader.sizeBytes, 1)).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('verifies each hash block once, however many reads need it at the same time', async () => {
    const { reader, counts } = counting(bytes);
    await using verified = await openVerified(reader, blob);
    await Promise.all(Array.from({ length: 100 }, (_, n) => verified.readAt(n * BLOCK, BLOCK)));
    const tree = [...counts].filter(([offset]) => offset > BLOCKS * BLOCK);
    expect(tree.map(([, count]) => count)).toEqual([1, 1, 1]);
  });

  it('finds one flipped bit wherever it is, and what is beside it stays readable', async () => {
    const flips = fc.tuple(fc.nat(BLOCKS * BLOCK - 1), fc.nat(7));
    await fc.assert(
      fc.asyncProperty(flips, async ([at, bit]) => {
        const wrong = { ...bufferReader(bytes), readAt: flipping(bytes, at, bit) };
        await using reader = await openVerified(wrong, blob);
        const block = Math.floor(at / BLOCK);
        await expect(reader.readAt(at, 1)).rejects.toMatchObject({
          code: 'integrity',
          facts: { digest: blob.digest, offset: block * BLOCK },
        });
        if (block > 0) await reader.readAt((block - 1) * BLOCK, BLOCK);
        if (block < BLOCKS - 1) await reader.readAt((block + 1) * BLOCK, BLOCK);
      }),
      { numRuns: 100 },
    );
  });

  it('forgets nothing it refused: the same block is checked again', async () => {
    let broken = true;
    const good = bufferReader(bytes);
    const bad = flipping(bytes, BLOCKS * BLOCK + 2 * BLOCK, 0);
    const readAt: BlobReader['readAt'] = (offset, length) =>
      broken ? bad(offset, length) : good.readAt(offset, length);
    await using reader = await openVerified({ ...good, readAt }, blob);
    await expect(reader.readAt(0, 1)).rejects.toMatchObject({ code: 'integrity' });
    broken = false;
    expect(await reader.readAt(0, BLOCK)).toEqual(bytes.subarray(0, BLOCK));
  });

  it('refuses a tree that is passed off as another', async () => {
    const shorter = Buffer.from(bytes);
    shorter.writeBigUInt64LE(BigInt(BLOCKS - 1), BLOCKS * BLOCK + 72);
    await expect(openVerified(bufferReader(shorter), blob)).rejects.toMatchObject({ code: 'integrity' });
    const cut = bytes.subarray(0, bytes.length - BLOCK);
    const claim = { ...blob, sizeBytes: cut.length };
    await expect(openVerified(bufferReader(cut), claim)).rejects.toMatchObject({ code: 'integrity' });
    const other = { ...blob, verityRoot: '0'.repeat(64) };
    await using reader = await openVerified(bufferReader(bytes), other);
    await expect(reader.readAt(0, 1)).rejects.toMatchObject({ code: 'integrity' });
  });

  it('stops waiting when it is interrupted, and others get their bytes', async () => {
    let release = () => {};
    const gate = new Promise<void>(resolve => (release = resolve));
    const inner = bufferReader(bytes);
    const readAt: BlobReader['readAt'] = async (offset, length) => {
      if (offset > (BLOCKS + 1) * BLOCK) await gate;
      return inner.readAt(offset, length);
    };
    await using reader = await openVerified({ ...inner, readAt }, blob);
    const controller = new AbortController();
    const first = reader.readAt(0, 10, controller.signal);
    const second = reader.readAt(0, 10);
    await new Promise(resolve => setImmediate(resolve));
    controller.abort();
    await expect(first).rejects.toMatchObject({ code: 'interrupted' });
    release();
    expect(await second).toEqual(bytes.subarray(0, 10));
  });
});

it('checks a blob without a tree as a whole, and each block again when it is read', async () => {
  const bytes = Buffer.alloc(3 * BLOCK + 100, 'stk');
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}` as BlobToServe['digest'];
  const blob = { digest, sizeBytes: bytes.length };
  await expect(openVerified({ ...bufferReader(bytes), readAt: flipping(bytes, 5, 0) }, blob)).rejects.toMatchObject({
    code: 'integrity',
    facts: { digest },
  });
  const changing = Buffer.from(bytes);
  await using reader = await openVerified(bufferReader(changing), blob);
  changing[3 * BLOCK + 99]! ^= 1;
  await expect(reader.readAt(3 * BLOCK + 1, 5)).rejects.toMatchObject({ facts: { offset: 3 * BLOCK } });
  expect(await reader.readAt(10, 2 * BLOCK)).toEqual(bytes.subarray(10, 10 + 2 * BLOCK));
});

it('knows at most one count of data blocks for a length', () => {
  const sizes = [1, 2, 127, 128, 129, 300, 128 * 128, 128 * 128 + 1, 3_000_000];
  const trees = [0, 1, 1, 1, 3, 4, 129, 132, 23438 + 184 + 2 + 1];
  expect(sizes.map((blocks, n) => dataBlocksOf((blocks + 1 + trees[n]!) * BLOCK))).toEqual(sizes);
  expect([0, BLOCK, 4095, 2 * BLOCK + 1, (129 + 1 + 2) * BLOCK].map(dataBlocksOf)).toEqual(
    Array.from({ length: 5 }, () => undefined),
  );
});

function flipping(bytes: Buffer, at: number, bit: number): BlobReader['readAt'] {
  return async (offset, length) => {
    const piece = Buffer.from(bytes.subarray(offset, offset + length));
    if (at >= offset && at < offset + length) piece[at - offset]! ^= 1 << bit;
    return piece;
  };
}
