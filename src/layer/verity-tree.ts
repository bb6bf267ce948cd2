import { hash } from 'node:crypto';
import type { BlobReader } from '../core/blob-reader.ts';
import { StkError } from '../core/errors.ts';
import {
  VERITY_BLOCK_BYTES,
  VERITY_HASH_BYTES,
  parseVeritySuperblock,
  verityLevels,
  type VerityLevel,
  type VeritySuperblock,
} from './verity-format.ts';

/** Verified hash blocks kept in memory: 1024 of them vouch for 512 MiB of data. */
const MAX_CACHED_BLOCKS = 1024;

/** Hashes one block the dm-verity way, salt first, into `target` at `at`. */
export function saltedHasher(salt: Buffer): (block: Buffer, target: Buffer, at: number) => void {
  let scratch = Buffer.alloc(0);
  return (block, target, at) => {
    if (scratch.length !== salt.length + block.length) scratch = Buffer.concat([salt, block]);
    else block.copy(scratch, salt.length);
    // A string of bytes costs less than a new Buffer for each hash.
    target.write(hash('sha256', scratch, 'base64'), at, VERITY_HASH_BYTES, 'base64');
  };
}

/** The verity area of a blob and the root that vouches for it. */
export interface VerityLocation {
  /** Offset of the superblock, from `locateVerity`. */
  readonly offset: number;
  /** Root hash from a source that is trusted, in hex. */
  readonly root: string;
}

/**
 * Checks blocks of a blob against its appended hash tree. Nothing from the tree is believed before the chain of hashes
 * up to the root has been seen; whatever does not match is `integrity`.
 */
export class VerityTree {
  readonly superblock: VeritySuperblock;
  readonly #reader: BlobReader;
  readonly #root: Buffer;
  readonly #start: number;
  readonly #levels: readonly VerityLevel[];
  readonly #cache = new Map<string, Buffer>();
  readonly #hash: (block: Buffer, target: Buffer, at: number) => void;

  private constructor(reader: BlobReader, superblock: VeritySuperblock, location: VerityLocation) {
    this.#reader = reader;
    this.superblock = superblock;
    this.#root = Buffer.from(location.root, 'hex');
    this.#start = Math.ceil((location.offset + 512) / superblock.hashBlockBytes) * superblock.hashBlockBytes;
    this.#levels = verityLevels(superblock.dataBlocks, superblock.hashBlockBytes);
    this.#hash = saltedHasher(superblock.salt);
  }

  /** Reads and checks the superblock. The reader stays the caller's. */
  static async open(reader: BlobReader, location: VerityLocation, signal?: AbortSignal): Promise<VerityTree> {
    if (!/^[0-9a-f]{64}$/i.test(location.root))
      throw new StkError('invalid-input', 'a verity root hash is 64 hex digits');
    if (location.offset + 512 > reader.sizeBytes) throw noRoom(reader, location.offset);
    const superblock = parseVeritySuperblock(await reader.readAt(location.offset, 512, signal));
    const { dataBlocks, dataBlockBytes, hashBlockBytes } = superblock;
    if (dataBlocks * dataBlockBytes !== location.offset) {
      throw new StkError('integrity', `${reader.name}: the verity tree is about another number of bytes`);
    }
    const tree = new VerityTree(reader, superblock, location);
    const treeBytes = tree.#levels.reduce((sum, level) => sum + level.blocks, 0) * hashBlockBytes;
    if (tree.#start + treeBytes > reader.sizeBytes) throw noRoom(reader, location.offset);
    return tree;
  }

  /** Bytes that one data block covers. */
  get blockBytes(): number {
    return this.superblock.dataBlockBytes;
  }

  /** Checks the bytes of one data block. */
  async verifyBlock(index: number, bytes: Buffer, signal?: AbortSignal): Promise<void> {
    await this.verifyBlocks(index, bytes, signal);
  }

  /** Checks the bytes of whole data blocks that follow one another. */
  async verifyBlocks(first: number, bytes: Buffer, signal?: AbortSignal): Promise<void> {
    const size = this.blockBytes;
    const count = bytes.length / size;
    if (!Number.isInteger(count) || first < 0 || first + count > this.superblock.dataBlocks) {
      throw new StkError('invalid-input', `${this.#reader.name}: not whole data blocks of the verity tree`);
    }
    const digest = Buffer.alloc(VERITY_HASH_BYTES);
    for (let index = 0; index < count; index++) {
      this.#hash(bytes.subarray(index * size, (index + 1) * size), digest, 0);
      const expected = await this.#expected(0, first + index, signal);
      if (!digest.equals(expected)) throw this.#corrupt(`data block ${first + index}`);
    }
  }

  /** The hash that a block of a level must have: data blocks are below level 0, the top has the root. */
  async #expected(level: number, index: number, signal: AbortSignal | undefined): Promise<Buffer> {
    if (level === this.#levels.length) return this.#root;
    const perBlock = this.superblock.hashBlockBytes / VERITY_HASH_BYTES;
    const block = Math.floor(index / perBlock);
    const hashes = this.#cached(`${level}:${block}`) ?? (await this.#hashBlock(level, block, signal));
    const at = (index % perBlock) * VERITY_HASH_BYTES;
    return hashes.subarray(at, at + VERITY_HASH_BYTES);
  }

  #cached(key: string): Buffer | undefined {
    const found = this.#cache.get(key);
    if (found) {
      this.#cache.delete(key);
      this.#cache.set(key, found);
    }
    return found;
  }

  async #hashBlock(level: number, block: number, signal: AbortSignal | undefined): Promise<Buffer> {
    const { hashBlockBytes } = this.superblock;
    const offset = this.#start + (this.#levels[level]!.firstBlock + block) * hashBlockBytes;
    const bytes = await this.#reader.readAt(offset, hashBlockBytes, signal);
    const digest = Buffer.alloc(VERITY_HASH_BYTES);
    this.#hash(bytes, digest, 0);
    if (!digest.equals(await this.#expected(level + 1, block, signal))) throw this.#corrupt('the hash tree');
    if (this.#cache.size >= MAX_CACHED_BLOCKS) this.#cache.delete(this.#cache.keys().next().value!);
    this.#cache.set(`${level}:${block}`, bytes);
    return bytes;
  }

  #corrupt(what: string): StkError {
    return new StkError('integrity', `${this.#reader.name}: ${what} does not match the verity root`, {
      hint: 'the blob was changed after it was written; fetch it again',
    });
  }
}

function noRoom(reader: BlobReader, offset: number): StkError {
  return new StkError('integrity', `${reader.name}: the verity tree is cut off`, {
    facts: { offset, sizeBytes: reader.sizeBytes, blockBytes: VERITY_BLOCK_BYTES },
  });
}
