import { hash } from 'node:crypto';

/** sha256 of every block of a blob's data, from a source that was verified itself. */
export interface BlockHashes {
  /** Bytes that the hashes cover, from the blob's start. */
  readonly dataBytes: number;
  /** Hashed before each block. */
  readonly salt: Buffer;
  /**
   * The hashes of consecutive blocks, 32 bytes each; reads and verifies what is not at hand. `integrity` where that is
   * not what it must be.
   */
  expected(block: number, count: number, signal?: AbortSignal): Promise<Buffer>;
}

/** Hashes one block the dm-verity way (format 1, the salt first), in hex. */
export function blockHash(salt: Buffer, block: Uint8Array): string {
  return hash('sha256', salt.length === 0 ? block : Buffer.concat([salt, block]), 'hex');
}

/**
 * Index of the first block of `bytes` that does not hash to what it must, or -1. The last block may be short.
 * Comparing hex strings costs less than making a Buffer for each hash.
 */
export function findWrongBlock(bytes: Buffer, blockBytes: number, salt: Buffer, expected: Buffer): number {
  const scratch = Buffer.allocUnsafeSlow(salt.length + blockBytes);
  salt.copy(scratch);
  for (let at = 0, index = 0; at < bytes.length; at += blockBytes, index++) {
    const end = Math.min(at + blockBytes, bytes.length);
    bytes.copy(scratch, salt.length, at, end);
    const salted = end - at === blockBytes ? scratch : scratch.subarray(0, salt.length + end - at);
    if (hash('sha256', salted, 'hex') !== expected.toString('hex', index * 32, index * 32 + 32)) return index;
  }
  return -1;
}
