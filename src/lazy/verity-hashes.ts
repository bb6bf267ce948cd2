import type { BlobReader } from '../core/blob-reader.ts';
import { StkError } from '../core/errors.ts';
import { SingleFlight } from '../core/single-flight.ts';
import { unlessAborted } from '../core/unless-aborted.ts';
import {
  VERITY_BLOCK_BYTES,
  VERITY_HASH_BYTES,
  parseVeritySuperblock,
  verityLevels,
  type VerityLevel,
} from '../layer/verity-format.ts';
import { blockHash, type BlockHashes } from './block-hashes.ts';

/** Where a tree is read from. */
export interface TreeReader extends Pick<BlobReader, 'name' | 'sizeBytes' | 'readAt'> {
  /** As `readAt`, from the first of several places whose bytes are right; where none has them, those of the last. */
  readRight?(offset: number, length: number, isRight: (bytes: Buffer) => boolean): Promise<Buffer>;
}

const HASHES_PER_BLOCK = VERITY_BLOCK_BYTES / VERITY_HASH_BYTES;
/** Verified hash blocks kept: 1024 of them vouch for 512 MiB of data in 4 MiB of memory. */
const MAX_CACHED_BLOCKS = 1024;

/**
 * The block hashes of a blob that ends with its own dm-verity tree (superblock first). Hash blocks are read when they
 * are needed, believed once the chain of hashes up to the trusted root was seen, and remembered; several reads that need
 * the same one share its verification.
 */
export class VerityHashes implements BlockHashes {
  readonly dataBytes: number;
  readonly salt: Buffer;
  readonly #reader: TreeReader;
  readonly #root: Buffer;
  readonly #treeStart: number;
  readonly #levels: readonly VerityLevel[];
  readonly #cache = new Map<number, Buffer>();
  readonly #flights = new SingleFlight<number, Buffer>();

  private constructor(reader: TreeReader, root: Buffer, dataBlocks: number, salt: Buffer) {
    this.#reader = reader;
    this.#root = root;
    this.dataBytes = dataBlocks * VERITY_BLOCK_BYTES;
    this.salt = salt;
    this.#treeStart = this.dataBytes + VERITY_BLOCK_BYTES;
    this.#levels = verityLevels(dataBlocks, VERITY_BLOCK_BYTES);
  }

  /**
   * Reads the superblock, which the root hash does not cover: the count of blocks that it claims must be the only one
   * that fits the blob's length, so a tree cannot be passed off as a shorter one with other data. The reader stays the
   * caller's; its `sizeBytes` must come from a source that is trusted, and so must `root` (64 hex digits).
   */
  static async open(reader: TreeReader, root: string, signal?: AbortSignal): Promise<VerityHashes> {
    if (!/^[0-9a-f]{64}$/i.test(root)) throw new StkError('invalid-input', 'a verity root hash is 64 hex digits');
    const dataBlocks = dataBlocksOf(reader.sizeBytes);
    if (dataBlocks === undefined) throw noTree(reader, 'its length is not that of data with a verity tree');
    const offset = dataBlocks * VERITY_BLOCK_BYTES;
    const superblock = parseVeritySuperblock(await reader.readAt(offset, VERITY_BLOCK_BYTES, signal));
    const { dataBlockBytes, hashBlockBytes } = superblock;
    if (dataBlockBytes !== VERITY_BLOCK_BYTES || hashBlockBytes !== VERITY_BLOCK_BYTES) {
      throw new StkError('unsupported', `${reader.name}: verity blocks of other than ${VERITY_BLOCK_BYTES} bytes`);
    }
    if (superblock.dataBlocks !== dataBlocks) throw noTree(reader, 'its superblock is about another length');
    return new VerityHashes(reader, Buffer.from(root, 'hex'), dataBlocks, superblock.salt);
  }

  async expected(block: number, count: number, signal?: AbortSignal): Promise<Buffer> {
    if (this.#levels.length === 0) return this.#root;
    const [first, last] = [Math.floor(block / HASHES_PER_BLOCK), Math.floor((block + count - 1) / HASHES_PER_BLOCK)];
    const parts: Buffer[] = [];
    for (let index = first; index <= last; index++) {
      const position = this.#levels[0]!.firstBlock + index;
      parts.push(this.#remembered(position) ?? (await unlessAborted(this.#hashBlock(0, index), signal)));
    }
    const at = (block % HASHES_PER_BLOCK) * VERITY_HASH_BYTES;
    return (parts.length === 1 ? parts[0]! : Buffer.concat(parts)).subarray(at, at + count * VERITY_HASH_BYTES);
  }

  /** Takes no signal: one caller's interruption must not fail the others that wait for the same block. */
  async #hashBlock(level: number, index: number): Promise<Buffer> {
    const position = this.#levels[level]!.firstBlock + index;
    return this.#remembered(position) ?? this.#flights.run(position, () => this.#verify(level, index, position));
  }

  async #verify(level: number, index: number, position: number): Promise<Buffer> {
    const offset = this.#treeStart + position * VERITY_BLOCK_BYTES;
    const expected = (await this.#hashOf(level + 1, index)).toString('hex');
    const isRight = (found: Buffer) => blockHash(this.salt, found) === expected;
    const bytes = this.#reader.readRight
      ? await this.#reader.readRight(offset, VERITY_BLOCK_BYTES, isRight)
      : await this.#reader.readAt(offset, VERITY_BLOCK_BYTES);
    if (!isRight(bytes)) {
      throw new StkError('integrity', `${this.#reader.name}: the hash tree is wrong at byte ${offset}`, {
        facts: { blob: this.#reader.name, offset },
      });
    }
    if (this.#cache.size >= MAX_CACHED_BLOCKS) this.#cache.delete(this.#cache.keys().next().value!);
    this.#cache.set(position, bytes);
    return bytes;
  }

  /** Hash that block `index` below a level must have. */
  async #hashOf(level: number, index: number): Promise<Buffer> {
    if (level === this.#levels.length) return this.#root;
    const hashes = await this.#hashBlock(level, Math.floor(index / HASHES_PER_BLOCK));
    const at = (index % HASHES_PER_BLOCK) * VERITY_HASH_BYTES;
    return hashes.subarray(at, at + VERITY_HASH_BYTES);
  }

  /** The least recently used are forgotten first. */
  #remembered(position: number): Buffer | undefined {
    const found = this.#cache.get(position);
    if (found) {
      this.#cache.delete(position);
      this.#cache.set(position, found);
    }
    return found;
  }
}

/** How many data blocks lie in a blob of data, superblock and tree: the sum grows with each, so at most one count fits. */
export function dataBlocksOf(sizeBytes: number): number | undefined {
  if (sizeBytes % VERITY_BLOCK_BYTES !== 0) return undefined;
  const total = sizeBytes / VERITY_BLOCK_BYTES;
  let [low, high] = [1, total];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (withTree(middle) < total) low = middle + 1;
    else high = middle;
  }
  return low >= 1 && withTree(low) === total ? low : undefined;
}

function withTree(dataBlocks: number): number {
  const tree = verityLevels(dataBlocks, VERITY_BLOCK_BYTES).reduce((sum, level) => sum + level.blocks, 0);
  return dataBlocks + 1 + tree;
}

function noTree(reader: TreeReader, why: string): StkError {
  return new StkError('integrity', `${reader.name} has no verity tree that can be used: ${why}`, {
    hint: 'the blob was cut off or changed; fetch it again',
    facts: { blob: reader.name, sizeBytes: reader.sizeBytes },
  });
}
