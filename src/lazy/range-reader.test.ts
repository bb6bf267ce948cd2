import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import { RangeReader, type RangeSource } from './range-reader.ts';

const CHUNK = 16 * 1024;
const bytes = randomBytes(200 * CHUNK + 123);
const descriptor = { mediaType: 'x', digest: digestOf(bytes), size: bytes.length };

function source(): RangeSource & { readonly reads: [number, number][] } {
  const reads: [number, number][] = [];
  return {
    name: 'docker://example/app',
    reads,
    async readBlobRange(_, offset, length, options) {
      reads.push([offset, length]);
      options?.signal?.throwIfAborted();
      return Buffer.from(bytes.subarray(offset, offset + length));
    },
  };
}

it('gives the very bytes of the blob', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(bytes.length), fc.oneof(fc.nat(5000), fc.nat(90 * CHUNK))), { maxLength: 8 }),
      async wanted => {
        const reader = new RangeReader(source(), descriptor);
        const ranges = wanted.map(([offset, length]) => [offset, Math.min(length, bytes.length - offset)] as const);
        const found = await Promise.all(ranges.map(([offset, length]) => reader.readAt(offset, length)));
        for (const [index, [offset, length]] of ranges.entries()) {
          expect(found[index]!.equals(bytes.subarray(offset, offset + length))).toBe(true);
        }
      },
    ),
    { numRuns: 50 },
  );
});

it('asks once for what lies together', async () => {
  const from = source();
  const reader = new RangeReader(from, descriptor);
  await reader.readAt(10, 20);
  await reader.readAt(4000, 4096);
  await reader.readAt(3 * CHUNK - 1, 2);
  expect(from.reads).toEqual([
    [0, CHUNK],
    [2 * CHUNK, 2 * CHUNK],
  ]);
});

it('fetches ever more for who reads on, and little for who looks here and there', async () => {
  const from = source();
  const reader = new RangeReader(from, descriptor);
  for (let at = 0; at < 100 * CHUNK; at += 1000) {
    await reader.readAt(at, 1000);
    if (at % 125_000 === 0) await reader.readAt(bytes.length - 1 - at / 2, 1);
  }
  const [ahead, behind] = [true, false].map(low => from.reads.filter(([offset]) => offset < 128 * CHUNK === low));
  expect(ahead!.map(([, length]) => length / CHUNK)).toEqual([1, 2, 4, 8, 16, 32, 64]);
  expect(behind!.every(([, length]) => length <= CHUNK)).toBe(true);
});

it('takes a small blob in one piece', async () => {
  const from = source();
  const reader = new RangeReader(from, { ...descriptor, size: 3 * CHUNK + 5 });
  for (const at of [10, 2 * CHUNK, 3 * CHUNK]) await reader.readAt(at, 5);
  expect(from.reads).toEqual([[0, 3 * CHUNK + 5]]);
});

it('reads again what somebody else gave up', async () => {
  const reader = new RangeReader(source(), descriptor);
  const controller = new AbortController();
  controller.abort(Object.assign(new Error('stopped'), { code: 'interrupted' }));
  const lost = reader.readAt(0, 10, controller.signal).catch(() => 'lost');
  const found = await reader.readAt(0, 10);
  expect(await lost).toBe('lost');
  expect(found.equals(bytes.subarray(0, 10))).toBe(true);
});

it('refuses what lies outside', async () => {
  const reader = new RangeReader(source(), descriptor);
  for (const [offset, length] of [
    [-1, 1],
    [bytes.length, 1],
    [0, bytes.length + 1],
    [0.5, 1],
  ] as const) {
    await expect(reader.readAt(offset, length)).rejects.toMatchObject({ code: 'invalid-input' });
  }
});
