import { malformed } from './malformed.ts';
import type { MetadataReader, Region } from './metadata.ts';
import type { PageCache } from './page-cache.ts';
import { METADATA_BYTES, SUPERBLOCK_BYTES } from './superblock.ts';

export interface LookupTableLayout {
  /** For messages. */
  readonly what: string;
  readonly count: number;
  /** A divisor of 8192, so that no entry crosses a block. */
  readonly entryBytes: number;
  /** Where the list of 64-bit block positions lies. */
  readonly index: number;
}

/** A table of fixed-size entries in metadata blocks that an index points to: ids, fragments, exports, xattr sets. */
export class LookupTable {
  readonly layout: LookupTableLayout;
  readonly #name: string;
  readonly #pages: PageCache;
  readonly #metadata: MetadataReader;
  readonly #region: Region;

  constructor(name: string, layout: LookupTableLayout, pages: PageCache, metadata: MetadataReader) {
    this.#name = name;
    this.layout = layout;
    this.#pages = pages;
    this.#metadata = metadata;
    this.#region = { what: layout.what, start: SUPERBLOCK_BYTES, end: layout.index };
  }

  /** One entry. Throws `invalid-input` for an index outside of the table. */
  async entry(index: number, signal?: AbortSignal): Promise<Buffer> {
    return this.entries(index, 1, signal);
  }

  /** Neighbouring entries. The caller bounds how many. */
  async entries(first: number, count: number, signal?: AbortSignal): Promise<Buffer> {
    const { what, entryBytes } = this.layout;
    if (first + count > this.layout.count) {
      throw malformed(this.#name, `it refers to entry ${first} of its ${what}, which has ${this.layout.count}`);
    }
    const parts: Buffer[] = [];
    const perBlock = METADATA_BYTES / entryBytes;
    for (let at = first; at < first + count;) {
      const within = at % perBlock;
      const taken = Math.min(perBlock - within, first + count - at);
      const pointer = await this.#pages.bytes(this.layout.index + 8 * Math.floor(at / perBlock), 8, signal);
      const position = pointer.readBigUInt64LE(0);
      if (position < BigInt(this.#region.start) || position >= BigInt(this.#region.end)) {
        throw malformed(this.#name, `its ${what} lies outside of it`);
      }
      const cursor = { block: Number(position), offset: within * entryBytes };
      parts.push(await this.#metadata.read(cursor, taken * entryBytes, this.#region, signal));
      at += taken;
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }
}
