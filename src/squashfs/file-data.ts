import type { BlobReader } from '../core/blob-reader.ts';
import { throwIfAborted } from '../core/errors.ts';
import type { Decompressor } from './decompress.ts';
import type { FileInode, InodeSource } from './inode.ts';
import type { LookupTable } from './lookup-table.ts';
import { LruCache } from './lru-cache.ts';
import { CorruptBlock, malformed } from './malformed.ts';

const UNCOMPRESSED = 0x100_0000;
const SIZE_MASK = UNCOMPRESSED - 1;
/** Sizes of blocks taken from the inode table at once. */
const SIZES_PER_READ = 2048;
/** What one read of the blob fetches at most, and what is decoded at once. */
const READ_BYTES = 2 * 1024 * 1024;
const DECODE_BYTES = 4 * 1024 * 1024;
const FRAGMENT_CACHE_BYTES = 8 * 1024 * 1024;

/** One stored data block of an image, or a hole. */
export interface DataBlock {
  /** Position in the blob. */
  readonly offset: number;
  /** Bytes in the blob; 0 for a block of zeros, which is not stored. */
  readonly storedBytes: number;
  readonly compressed: boolean;
}

/** A range of the blob. */
export interface Extent {
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface DataSource extends InodeSource {
  readonly reader: BlobReader;
  readonly decompressor: Decompressor;
  readonly fragments: LookupTable | undefined;
  readonly fragmentCache: FragmentCache;
}

/** Decoded fragment blocks, since many small files share each; keyed by their index. */
export type FragmentCache = LruCache<number, Promise<Buffer>>;

export function newFragmentCache(): FragmentCache {
  return new LruCache(FRAGMENT_CACHE_BYTES);
}

/** The blocks of a file in order, without its fragment. Throws `invalid-input` for blocks that cannot be. */
export async function* dataBlocks(
  source: DataSource,
  file: FileInode,
  signal?: AbortSignal,
): AsyncGenerator<DataBlock, void, undefined> {
  for await (const blocks of blockRuns(source, file, signal)) yield* blocks;
}

async function* blockRuns(
  source: DataSource,
  file: FileInode,
  signal: AbortSignal | undefined,
): AsyncGenerator<DataBlock[], void, undefined> {
  const { metadata, inodeRegion, superblock } = source;
  const cursor = { ...file.layout.sizes };
  let offset = file.layout.blocksStart;
  for (let done = 0; done < file.layout.blockCount;) {
    const count = Math.min(SIZES_PER_READ, file.layout.blockCount - done);
    const sizes = await metadata.read(cursor, count * 4, inodeRegion, signal);
    const run: DataBlock[] = [];
    for (let i = 0; i < count; i++) {
      const size = sizes.readUInt32LE(i * 4);
      run.push(storedBlock(source, offset, size, superblock.bytesUsed));
      offset += size & SIZE_MASK;
    }
    done += count;
    yield run;
  }
}

function storedBlock({ name, superblock }: DataSource, offset: number, size: number, end: number): DataBlock {
  const storedBytes = size & SIZE_MASK;
  if (size >= 2 * UNCOMPRESSED || storedBytes > superblock.blockBytes || offset + storedBytes > end) {
    throw malformed(name, `a data block at ${offset} has the impossible size ${size}`);
  }
  return { offset, storedBytes, compressed: (size & UNCOMPRESSED) === 0 };
}

/** A fragment block by its index. */
export async function fragmentBlock(source: DataSource, index: number, signal?: AbortSignal): Promise<DataBlock> {
  if (source.fragments === undefined) throw malformed(source.name, 'a file refers to a fragment, and there are none');
  const entry = await source.fragments.entry(index, signal);
  const start = entry.readBigUInt64LE(0);
  if (start > BigInt(source.superblock.bytesUsed)) throw malformed(source.name, `fragment ${index} lies outside of it`);
  const block = storedBlock(source, Number(start), entry.readUInt32LE(8), source.superblock.bytesUsed);
  if (block.storedBytes === 0) throw malformed(source.name, `fragment ${index} is empty`);
  return block;
}

/** Where a file's stored bytes lie, neighbours joined, in the order of its content; its fragment block comes last. */
export async function dataExtents(source: DataSource, file: FileInode, signal?: AbortSignal): Promise<Extent[]> {
  const extents: { offset: number; sizeBytes: number }[] = [];
  const add = ({ offset, storedBytes }: DataBlock) => {
    const last = extents.at(-1);
    if (storedBytes === 0) return;
    if (last && last.offset + last.sizeBytes === offset) last.sizeBytes += storedBytes;
    else extents.push({ offset, sizeBytes: storedBytes });
  };
  for await (const run of blockRuns(source, file, signal)) run.forEach(add);
  const { fragment } = file.layout;
  if (fragment !== undefined && file.size > 0) add(await fragmentBlock(source, fragment.index, signal));
  return extents;
}

/**
 * The content of a file from `start` to `end` (exclusive, within the file) in pieces of up to one block. Each piece
 * belongs to the caller. Holds at most a few megabytes.
 */
export async function* fileContent(
  source: DataSource,
  file: FileInode,
  range: { readonly start: number; readonly end: number },
  signal?: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const { start, end } = range;
  const { blockBytes } = source.superblock;
  const blocksEnd = Math.min(end, file.layout.blockCount * blockBytes);
  if (start < blocksEnd) {
    const firstBlock = Math.floor(start / blockBytes);
    const lastBlock = Math.ceil(blocksEnd / blockBytes);
    let at = firstBlock * blockBytes;
    for await (const blocks of batches(source, file, { first: firstBlock, last: lastBlock }, signal)) {
      for await (const bytes of decodedBlocks(source, file, { blocks, at }, signal)) {
        const from = Math.max(0, start - at);
        const to = Math.min(bytes.length, end - at);
        at += bytes.length;
        yield from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to);
      }
    }
  }
  if (end > blocksEnd) {
    const tail = await fragmentTail(source, file, signal);
    const tailStart = file.layout.blockCount * blockBytes;
    yield Buffer.from(tail.subarray(Math.max(0, start - tailStart), end - tailStart));
  }
}

/** Blocks `first` to `last` (exclusive) in groups that one read and one round of decoding serve. */
async function* batches(
  source: DataSource,
  file: FileInode,
  { first, last }: { readonly first: number; readonly last: number },
  signal: AbortSignal | undefined,
): AsyncGenerator<DataBlock[], void, undefined> {
  const limit = Math.max(1, Math.floor(DECODE_BYTES / source.superblock.blockBytes));
  let batch: DataBlock[] = [];
  let storedBytes = 0;
  let index = 0;
  for await (const run of blockRuns(source, file, signal)) {
    for (const block of run) {
      if (index >= last) break;
      if (index++ < first) continue;
      if (batch.length >= limit || (batch.length > 0 && storedBytes + block.storedBytes > READ_BYTES)) {
        yield batch;
        batch = [];
        storedBytes = 0;
      }
      batch.push(block);
      storedBytes += block.storedBytes;
    }
    if (index >= last) break;
  }
  if (batch.length > 0) yield batch;
}

/** Neighbouring blocks of a file; `at` is the first one's place in it. */
interface Batch {
  readonly blocks: readonly DataBlock[];
  readonly at: number;
}

/** Reads the blocks of a batch at once and decodes them. */
async function* decodedBlocks(
  source: DataSource,
  file: FileInode,
  { blocks, at: start }: Batch,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  throwIfAborted(signal);
  const { blockBytes } = source.superblock;
  const origin = blocks[0]!.offset;
  const storedBytes = blocks.reduce((sum, block) => sum + block.storedBytes, 0);
  const raw = storedBytes === 0 ? Buffer.alloc(0) : await source.reader.readAt(origin, storedBytes, signal);
  const slices = blocks.map(block => raw.subarray(block.offset - origin, block.offset - origin + block.storedBytes));
  const packed = slices.filter((slice, i) => blocks[i]!.compressed && slice.length > 0);
  const decoded = await decode(source, packed, signal);
  let next = 0;
  let at = start;
  for (const [i, block] of blocks.entries()) {
    const expected = Math.min(blockBytes, file.size - at);
    const slice = slices[i]!;
    const bytes = slice.length === 0 ? Buffer.alloc(expected) : block.compressed ? decoded[next++]! : slice;
    if (bytes.length !== expected) {
      throw malformed(
        source.name,
        `a data block at ${block.offset} holds ${bytes.length} bytes instead of ${expected}`,
      );
    }
    at += expected;
    yield bytes;
  }
}

async function decode(source: DataSource, blocks: readonly Buffer[], signal: AbortSignal | undefined) {
  if (blocks.length === 0) return [];
  try {
    return await source.decompressor.many(blocks, source.superblock.blockBytes, signal);
  } catch (error) {
    throw error instanceof CorruptBlock ? malformed(source.name, 'a data block does not decode', error) : error;
  }
}

/** The bytes of a file that lie in its fragment; shared memory. */
async function fragmentTail(source: DataSource, file: FileInode, signal: AbortSignal | undefined): Promise<Buffer> {
  const fragment = file.layout.fragment!;
  const length = file.size - file.layout.blockCount * source.superblock.blockBytes;
  const bytes = await fragmentBytes(source, fragment.index, signal);
  if (fragment.offset + length > bytes.length) {
    throw malformed(source.name, `a file's tail lies outside of fragment ${fragment.index}`);
  }
  return bytes.subarray(fragment.offset, fragment.offset + length);
}

async function fragmentBytes(source: DataSource, index: number, signal: AbortSignal | undefined): Promise<Buffer> {
  const cached = await source.fragmentCache.get(index)?.catch(() => undefined);
  if (cached !== undefined) return cached;
  const read = (async () => {
    const block = await fragmentBlock(source, index, signal);
    const raw = await source.reader.readAt(block.offset, block.storedBytes, signal);
    return block.compressed ? (await decode(source, [raw], signal))[0]! : raw;
  })();
  source.fragmentCache.set(index, read, source.superblock.blockBytes);
  try {
    return await read;
  } catch (error) {
    source.fragmentCache.delete(index);
    throw error;
  }
}
