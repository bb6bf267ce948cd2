import { hash } from 'node:crypto';
import type { BlobReader } from '../core/blob-reader.ts';
import { Digester, type Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { BlockHashes } from './block-hashes.ts';

const BLOCK_BYTES = 4096;
const HASH_BYTES = 32;
const PIECE_BYTES = 1 << 20;

/**
 * Reads a whole blob once against its digest and remembers a hash of each 4 KiB on the way (0.8 % of its size in memory),
 * so that what is read later is checked as it would be against a verity tree. For blobs that bring no tree; as it reads
 * everything, for small ones. Throws `integrity` where the digest does not match.
 */
export async function hashWholeBlob(reader: BlobReader, digest: Digest, signal?: AbortSignal): Promise<BlockHashes> {
  const digester = new Digester();
  const hashes = Buffer.allocUnsafe(Math.ceil(reader.sizeBytes / BLOCK_BYTES) * HASH_BYTES);
  let filled = 0;
  for (let offset = 0; offset < reader.sizeBytes; offset += PIECE_BYTES) {
    const piece = await reader.readAt(offset, Math.min(PIECE_BYTES, reader.sizeBytes - offset), signal);
    digester.update(piece);
    for (let at = 0; at < piece.length; at += BLOCK_BYTES) {
      filled += hashes.write(hash('sha256', piece.subarray(at, at + BLOCK_BYTES), 'hex'), filled, 'hex');
    }
  }
  const found = digester.finish();
  if (found !== digest) {
    throw new StkError('integrity', `${reader.name}: bytes do not match ${digest}`, {
      hint: 'the blob was damaged or replaced; remove it and fetch or build it again',
      facts: { digest, found },
    });
  }
  return {
    dataBytes: reader.sizeBytes,
    salt: Buffer.alloc(0),
    expected: async (block, count) => hashes.subarray(block * HASH_BYTES, (block + count) * HASH_BYTES),
  };
}
