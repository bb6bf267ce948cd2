import { throwIfAborted } from '../core/errors.ts';
import { INODE_TYPES, type DirectoryInode, type InodeSource, type InodeType } from './inode.ts';
import { malformed } from './malformed.ts';
import type { Cursor, Region } from './metadata.ts';
import { METADATA_BYTES } from './superblock.ts';

/** One name in a directory. */
export interface DirectoryEntry {
  /** A byte string (latin1): 1 to 255 bytes, no `/`, no NUL, neither `.` nor `..`. */
  readonly name: string;
  readonly type: InodeType;
  /** Reference of the inode. */
  readonly ref: number;
}

export interface DirectorySource extends InodeSource {
  readonly directoryRegion: Region;
}

const RUN_HEADER_BYTES = 12;
const ENTRY_BYTES = 8;
const MAX_RUN_ENTRIES = 256;
const MAX_NAME_BYTES = 255;

/** Where to begin in a listing: at its start, or where its index says. */
interface Start {
  readonly cursor: Cursor;
  readonly skippedBytes: number;
}

/**
 * The entries of a directory in runs of up to 256, names ascending by bytes. Memory is one run. Throws `invalid-input`
 * where a name is not allowed, out of order or given twice, or the listing's length does not fit.
 */
export async function* listDirectory(
  source: DirectorySource,
  directory: DirectoryInode,
  signal?: AbortSignal,
  start?: Start,
): AsyncGenerator<readonly DirectoryEntry[], void, undefined> {
  const { name, metadata, directoryRegion: region } = source;
  const { listing } = directory;
  let left = listing.sizeBytes - (start?.skippedBytes ?? 0);
  if (left <= 0) return;
  const cursor = start?.cursor ?? metadata.cursor(region, listing.block, listing.offset);
  let previous = '';
  while (left > 0) {
    throwIfAborted(signal);
    const header = await metadata.read(cursor, RUN_HEADER_BYTES, region, signal);
    const count = header.readUInt32LE(0) + 1;
    if (count > MAX_RUN_ENTRIES) throw malformed(name, `a directory claims ${count} entries in one run`);
    const inodeBlock = header.readUInt32LE(4) * 65536;
    left -= RUN_HEADER_BYTES;
    const run: DirectoryEntry[] = [];
    for (let i = 0; i < count; i++) {
      let at = cursor.offset;
      let bytes = metadata.blockNow(cursor, ENTRY_BYTES);
      if (bytes === undefined) [bytes, at] = [await metadata.read(cursor, ENTRY_BYTES, region, signal), 0];
      else cursor.offset += ENTRY_BYTES;
      const offset = bytes.readUInt16LE(at);
      const type = INODE_TYPES[bytes.readUInt16LE(at + 4) - 1];
      const nameBytes = bytes.readUInt16LE(at + 6) + 1;
      left -= ENTRY_BYTES + nameBytes;
      if (left < 0) throw malformed(name, 'a directory is longer than it says');
      if (type === undefined || offset >= METADATA_BYTES || nameBytes > MAX_NAME_BYTES) {
        throw malformed(name, 'a directory entry is not valid');
      }
      at = cursor.offset;
      bytes = metadata.blockNow(cursor, nameBytes);
      if (bytes === undefined) [bytes, at] = [await metadata.read(cursor, nameBytes, region, signal), 0];
      else cursor.offset += nameBytes;
      const entryName = bytes.toString('latin1', at, at + nameBytes);
      if (entryName <= previous || !isFileName(entryName)) {
        throw malformed(name, `a directory has the name ${JSON.stringify(entryName)} where it cannot be`);
      }
      previous = entryName;
      run.push({ name: entryName, type, ref: inodeBlock + offset });
    }
    yield run;
  }
}

/** The entry of that name (a byte string). Uses the directory's index where it has one, and stops where names pass it. */
export async function findEntry(
  source: DirectorySource,
  directory: DirectoryInode,
  name: string,
  signal?: AbortSignal,
): Promise<DirectoryEntry | undefined> {
  const start = directory.listing.indexCount > 0 ? await indexedStart(source, directory, name, signal) : undefined;
  for await (const run of listDirectory(source, directory, signal, start)) {
    if (run.at(-1)!.name < name) continue;
    return run.find(entry => entry.name === name);
  }
  return undefined;
}

/** The last indexed run that begins at or before the name. */
async function indexedStart(
  source: DirectorySource,
  directory: DirectoryInode,
  name: string,
  signal: AbortSignal | undefined,
): Promise<Start | undefined> {
  const { metadata, inodeRegion, directoryRegion } = source;
  const { listing } = directory;
  const cursor = { ...listing.index };
  let start: Start | undefined;
  for (let i = 0; i < listing.indexCount; i++) {
    const entry = await metadata.read(cursor, 12, inodeRegion, signal);
    const skippedBytes = entry.readUInt32LE(0);
    const block = entry.readUInt32LE(4);
    const nameBytes = entry.readUInt32LE(8) + 1;
    if (nameBytes > MAX_NAME_BYTES) throw malformed(source.name, 'the index of a directory is not valid');
    const first = await metadata.read(cursor, nameBytes, inodeRegion, signal);
    if (first.toString('latin1') > name) break;
    const offset = (listing.offset + skippedBytes) % METADATA_BYTES;
    start = { cursor: metadata.cursor(directoryRegion, block, offset), skippedBytes };
  }
  return start;
}

function isFileName(name: string): boolean {
  return !name.includes('/') && !name.includes('\0') && name !== '.' && name !== '..';
}
