import { throwIfAborted } from '../core/errors.ts';
import type { Decompressor } from './decompress.ts';
import { LruCache } from './lru-cache.ts';
import { CorruptBlock, malformed } from './malformed.ts';
import type { PageCache } from './page-cache.ts';
import { METADATA_BYTES } from './superblock.ts';

const UNCOMPRESSED = 0x8000;
/** Decoded blocks kept: 8 MiB. */
const CACHE_BLOCKS = 1024;
/** Blocks decoded in one call where the decompressor is an external process. */
const BATCH_BLOCKS = 64;

/** The part of the image in which a chain of metadata blocks may lie. */
export interface Region {
  readonly what: string;
  readonly start: number;
  readonly end: number;
}

/** A place in decoded metadata; reading moves it on. */
export interface Cursor {
  /** Absolute position of the block's header in the image. */
  block: number;
  /** Offset in the decoded block, 0 to its length. */
  offset: number;
}

interface Block {
  readonly bytes: Buffer;
  /** Position of the block behind it. */
  readonly next: number;
}

interface RawBlock extends Block {
  readonly compressed: boolean;
}

/** Decodes and caches the metadata blocks of one image. Safe for concurrent calls. */
export class MetadataReader {
  readonly #name: string;
  readonly #pages: PageCache;
  readonly #decompressor: Decompressor;
  readonly #blocks = new LruCache<number, Block>(CACHE_BLOCKS);

  constructor(name: string, pages: PageCache, decompressor: Decompressor) {
    this.#name = name;
    this.#pages = pages;
    this.#decompressor = decompressor;
  }

  /** A cursor at an offset behind the region's start; `invalid-input` where that cannot be. */
  cursor(region: Region, block: number, offset: number): Cursor {
    const position = region.start + block;
    if (position >= region.end || offset >= METADATA_BYTES) throw this.#outside(region);
    return { block: position, offset };
  }

  /**
   * The decoded block in which the next bytes lie, at the cursor's offset, if it is cached and holds all of them: the way
   * without waiting or allocating. The cursor stays. Shared memory: not to be written to.
   */
  blockNow(cursor: Readonly<Cursor>, length: number): Buffer | undefined {
    const block = this.#blocks.get(cursor.block);
    return block !== undefined && cursor.offset + length <= block.bytes.length ? block.bytes : undefined;
  }

  /** The next bytes across block borders. The caller bounds the length. Shared memory: not to be written to. */
  async read(cursor: Cursor, length: number, region: Region, signal?: AbortSignal): Promise<Buffer> {
    const parts: Buffer[] = [];
    let left = length;
    while (left > 0) {
      const block = await this.#block(cursor.block, region, signal);
      const available = block.bytes.length - cursor.offset;
      if (available < 0) throw this.#outside(region);
      if (available === 0) {
        cursor.block = block.next;
        cursor.offset = 0;
        continue;
      }
      const taken = Math.min(available, left);
      parts.push(block.bytes.subarray(cursor.offset, cursor.offset + taken));
      cursor.offset += taken;
      left -= taken;
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts, length);
  }

  async #block(position: number, region: Region, signal: AbortSignal | undefined): Promise<Block> {
    const cached = this.#blocks.get(position);
    if (cached !== undefined) {
      if (position >= region.end) throw this.#outside(region);
      return cached;
    }
    throwIfAborted(signal);
    const raw = await this.#rawBlocks(position, region, signal);
    let blocks: readonly Block[];
    try {
      // A damaged successor must not take down the block that is asked for.
      blocks = await this.#decode(raw, signal).catch((error: unknown) => {
        if (raw.length > 1 && error instanceof CorruptBlock) return this.#decode(raw.slice(0, 1), signal);
        throw error;
      });
    } catch (error) {
      if (!(error instanceof CorruptBlock)) throw error;
      throw malformed(this.#name, `its ${region.what} at byte ${position} does not decode`, error);
    }
    let start = position;
    for (const block of blocks) {
      if (block.bytes.length === 0) throw malformed(this.#name, `a block of its ${region.what} is empty`);
      this.#blocks.set(start, block);
      start = block.next;
    }
    return blocks[0]!;
  }

  async #decode(raw: readonly RawBlock[], signal: AbortSignal | undefined): Promise<Block[]> {
    const packed = raw.filter(block => block.compressed).map(block => block.bytes);
    const decoded =
      packed.length === 1
        ? [await this.#decompressor.one(packed[0]!, METADATA_BYTES, signal)]
        : packed.length === 0
          ? []
          : await this.#decompressor.many(packed, METADATA_BYTES, signal);
    let at = 0;
    return raw.map(({ bytes, compressed, next }) => ({ bytes: compressed ? decoded[at++]! : bytes, next }));
  }

  /** The block at a position, and its successors where decoding them together saves a process. */
  async #rawBlocks(position: number, region: Region, signal: AbortSignal | undefined) {
    const wanted = this.#decompressor.batched ? BATCH_BLOCKS : 1;
    const blocks: RawBlock[] = [];
    let at = position;
    while (blocks.length < wanted) {
      if (at < region.start || at + 2 > region.end) {
        if (blocks.length > 0) break;
        throw this.#outside(region);
      }
      const header = (await this.#pages.bytes(at, 2, signal)).readUInt16LE(0);
      const size = header & ~UNCOMPRESSED;
      const next = at + 2 + size;
      if (size === 0 || size > METADATA_BYTES || next > region.end) {
        if (blocks.length > 0) break;
        throw malformed(this.#name, `a block of its ${region.what} has the impossible size ${size}`);
      }
      const compressed = (header & UNCOMPRESSED) === 0;
      const shared = await this.#pages.bytes(at + 2, size, signal);
      // A copy of stored blocks, so that a small one does not keep a whole read of the blob in memory.
      blocks.push({ bytes: compressed ? shared : Buffer.from(shared), compressed, next });
      at = next;
    }
    return blocks;
  }

  #outside(region: Region) {
    return malformed(this.#name, `a reference leads out of its ${region.what}`);
  }
}
