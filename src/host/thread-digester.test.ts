import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import { openDigester, type StreamDigester } from './thread-digester.ts';

const LONG = 8 * 1024 * 1024;

async function feed(digester: StreamDigester, bytes: Buffer, pieceBytes: number): Promise<void> {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const piece = Buffer.from(bytes.subarray(at, at + pieceBytes));
    const wait = digester.update(piece);
    if (wait) await wait;
    // The piece is the caller's again.
    piece.fill(0);
  }
}

it.each([
  ['nothing', 0, 1],
  ['a short stream', 1000, 300],
  ['a long stream in small pieces', LONG + 1, 65_535],
  ['a long stream in pieces larger than what is passed on at once', LONG * 2, 3_000_001],
  ['a long stream in pieces of exactly that', LONG, 1024 * 1024],
])('hashes %s', async (_name, sizeBytes, pieceBytes) => {
  const bytes = randomBytes(sizeBytes);
  const digester = openDigester(sizeBytes);
  await feed(digester, bytes, pieceBytes);
  expect(digester.sizeBytes).toBe(sizeBytes);
  expect(await digester.finish()).toBe(digestOf(bytes));
  digester.abandon();
});

it('hashes more streams at once than there are threads, some of which are abandoned', async () => {
  const streams = Array.from({ length: 12 }, (_, index) => randomBytes(LONG / 4 + index));
  const digests = await Promise.all(
    streams.map(async (bytes, index) => {
      const digester = openDigester(LONG);
      await feed(digester, index % 3 === 0 ? bytes.subarray(0, bytes.length / 2) : bytes, 100_000);
      if (index % 3 === 0) return digester.abandon();
      return digester.finish();
    }),
  );
  expect(digests).toEqual(streams.map((bytes, index) => (index % 3 === 0 ? undefined : digestOf(bytes))));
});
