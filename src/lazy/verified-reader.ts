import { assertInsideBlob, type BlobReader } from '../core/blob-reader.ts';
import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import { findWrongBlock, type BlockHashes } from './block-hashes.ts';
import { hashWholeBlob } from './digest-hashes.ts';
import { VerityHashes } from './verity-hashes.ts';

/** dm-verity's unit, and that of the page cache. */
const BLOCK_BYTES = 4096;

/** A blob and what it must be, from a manifest that is trusted. */
export interface ExpectedBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Root hash of the dm-verity tree at the blob's end, 64 hex digits; without it the whole blob is read on opening. */
  readonly verityRoot?: string;
}

/**
 * A view of a blob that never gives out a byte which was not checked: every 4 KiB block is hashed when it is read, every
 * time. Its size is that of what the hashes cover, without the verity area. A block that is wrong is `integrity` with
 * the blob's digest and the block's offset; the blocks beside it stay readable. Takes ownership of the reader, also
 * where it throws: `integrity` for a blob of another size, without a usable tree, or of another digest.
 */
export async function openVerified(reader: BlobReader, blob: ExpectedBlob, signal?: AbortSignal): Promise<BlobReader> {
  try {
    if (reader.sizeBytes !== blob.sizeBytes) {
      throw new StkError('integrity', `${reader.name} is ${reader.sizeBytes} bytes long instead of ${blob.sizeBytes}`, {
        hint: 'the blob was cut off or replaced; remove it and fetch or build it again',
        facts: { digest: blob.digest, sizeBytes: blob.sizeBytes, foundBytes: reader.sizeBytes },
      });
    }
    const hashes =
      blob.verityRoot === undefined
        ? await hashWholeBlob(reader, blob.digest, signal)
        : await VerityHashes.open(reader, blob.verityRoot, signal);
    return new VerifiedReader(reader, blob.digest, hashes);
  } catch (error) {
    await reader[Symbol.asyncDispose]();
    throw error;
  }
}

class VerifiedReader implements BlobReader {
  readonly sizeBytes: number;
  readonly name: string;
  readonly #reader: BlobReader;
  readonly #digest: Digest;
  readonly #hashes: BlockHashes;

  constructor(reader: BlobReader, digest: Digest, hashes: BlockHashes) {
    this.#reader = reader;
    this.#digest = digest;
    this.#hashes = hashes;
    this.name = reader.name;
    this.sizeBytes = hashes.dataBytes;
  }

  async readAt(offset: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    assertInsideBlob(this, offset, length);
    if (length === 0) return Buffer.alloc(0);
    const first = Math.floor(offset / BLOCK_BYTES);
    const count = Math.ceil((offset + length) / BLOCK_BYTES) - first;
    const start = first * BLOCK_BYTES;
    const end = Math.min(start + count * BLOCK_BYTES, this.sizeBytes);
    const bytes = await this.#reader.readAt(start, end - start, signal);
    const expected = await this.#hashes.expected(first, count, signal);
    const wrong = findWrongBlock(bytes, BLOCK_BYTES, this.#hashes.salt, expected);
    if (wrong >= 0) throw this.#wrong((first + wrong) * BLOCK_BYTES);
    return bytes.length === length ? bytes : bytes.subarray(offset - start, offset - start + length);
  }

  #wrong(offset: number): StkError {
    return new StkError('integrity', `${this.name}: wrong bytes at ${offset} of ${this.#digest}`, {
      hint: 'the blob was damaged or replaced; remove it and fetch or build it again',
      facts: { digest: this.#digest, offset },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader[Symbol.asyncDispose]();
  }
}
