import type { DataBlock } from './file-data.ts';
import type { FileInode } from './inode.ts';
import type { SquashfsReader } from './squashfs-reader.ts';

/** What one read of a blob fetches at most. */
const READ_BYTES = 2 * 1024 * 1024;
const PIECE_BYTES = 1024 * 1024;

/** A file and the image that it is of. */
export interface PlacedFile {
  readonly reader: SquashfsReader;
  readonly file: FileInode;
}

/**
 * Whether two files have the same content. Blocks that are stored alike are compared as they are stored, since equal
 * compressed blocks are equal: only what a packer compressed differently, and tails in fragments, is decompressed. Throws
 * as `SquashfsReader` does.
 */
export async function sameContent(a: PlacedFile, b: PlacedFile, signal?: AbortSignal): Promise<boolean> {
  if (a.file.size !== b.file.size) return false;
  if (a.file.size === 0 || (a.reader === b.reader && a.file.ref === b.file.ref)) return true;
  let offset = await equalStoredBytes(a, b, signal);
  for (; offset < a.file.size; offset += PIECE_BYTES) {
    const piece = { offset, length: PIECE_BYTES, ...(signal ? { signal } : {}) };
    const [mine, theirs] = [await a.reader.readFile(a.file, piece), await b.reader.readFile(b.file, piece)];
    if (!mine.equals(theirs)) return false;
  }
  return true;
}

/** How many bytes from the beginning are known to be equal because their blocks are stored alike. */
async function equalStoredBytes(a: PlacedFile, b: PlacedFile, signal: AbortSignal | undefined): Promise<number> {
  const { blockBytes, compression } = a.reader.superblock;
  if (b.reader.superblock.blockBytes !== blockBytes || b.reader.superblock.compression !== compression) return 0;
  let equal = 0;
  let run: { a: DataBlock; b: DataBlock; blocks: number; bytes: number } | undefined;
  const flush = async () => {
    if (!run) return true;
    const { bytes, blocks } = run;
    const [mine, theirs] = [
      await a.reader.readStored({ offset: run.a.offset, sizeBytes: bytes }, signal),
      await b.reader.readStored({ offset: run.b.offset, sizeBytes: bytes }, signal),
    ];
    run = undefined;
    if (!mine.equals(theirs)) return false;
    equal += blocks * blockBytes;
    return true;
  };
  const others = b.reader.dataBlocks(b.file, signal)[Symbol.asyncIterator]();
  try {
    for await (const block of a.reader.dataBlocks(a.file, signal)) {
      const { value: other, done } = await others.next();
      if (done === true || other.storedBytes !== block.storedBytes || other.compressed !== block.compressed) break;
      if (run && run.bytes + block.storedBytes > READ_BYTES && !(await flush())) return equal;
      run ??= { a: block, b: other, blocks: 0, bytes: 0 };
      run.blocks++;
      run.bytes += block.storedBytes;
    }
    await flush();
  } finally {
    await others.return?.();
  }
  return Math.min(equal, a.file.size);
}
