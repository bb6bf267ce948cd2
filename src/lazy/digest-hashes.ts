import { hash } from 'node:crypto';
import type { BlobReader } from '../core/blob-reader.ts';
import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import { openDigester } from '../host/thread-digester.ts';
import type { BlockHashes } from './block-hashes.ts';

const BLOCK_BYTES = 4096;
const HASH_BYTES = 32;
/** Large, because each may be a request to a registry. */
const PIECE_BYTES = 8 << 20;

/**
 * Reads a whole blob once against its digest and remembers a hash of each 4 KiB on the way (0.8 % of its size in memory),
 * so that what is read later is checked as it would be against a verity tree. For blobs that bring no tree; as it reads
 * everything, for small ones. Throws `integrity` where the digest does not match.
 */
export async function hashWholeBlob(reader: BlobReader, digest: Digest, signal?: AbortSignal): Promise<BlockHashes> {
  const hashes = Buffer.allocUnsafe(Math.ceil(reader.sizeBytes / BLOCK_BYTES) * HASH_BYTES);
  const digester = openDigester(reader.sizeBytes);
  let filled = 0;
  try {
    for await (const piece of pieces(reader, signal)) {
      await digester.update(piece);
      for (let at = 0; at < piece.length; at += BLOCK_BYTES) {
        filled += hashes.write(hash('sha256', piece.subarray(at, at + BLOCK_BYTES), 'hex'), filled, 'hex');
      }
    }
    const found = await digester.finish();
    if (found !== digest) {
      throw new StkError('integrity', `${reader.name}: bytes do not match ${digest}`, {
        hint: 'the blob was damaged or replaced; remove it and fetch or build it again',
        facts: { digest, found },
      });
    }
  } finally {
    digester.abandon();
  }
  return {
    dataBytes: reader.sizeBytes,
    salt: Buffer.alloc(0),
    expected: async (block, count) => hashes.subarray(block * HASH_BYTES, (block + count) * HASH_BYTES),
  };
}

/** The next piece is on its way while one is looked at. */
async function* pieces(reader: BlobReader, signal: AbortSignal | undefined): AsyncGenerator<Buffer, void> {
  const read = (offset: number) => {
    const length = Math.min(PIECE_BYTES, reader.sizeBytes - offset);
    const piece = length > 0 ? reader.readAt(offset, length, signal) : undefined;
    // It may fail while nobody waits for it.
    piece?.catch(() => {});
    return piece;
  };
  let next = read(0);
  for (let offset = PIECE_BYTES; next; offset += PIECE_BYTES) {
    const piece: Buffer = await next;
    next = read(offset);
    yield piece;
  }
}
