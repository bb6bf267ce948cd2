import type { BlobReader } from '../core/blob-reader.ts';
import { StkError } from '../core/errors.ts';
import { COMPRESSIONS, type Compression } from './decompress.ts';
import { malformed } from './malformed.ts';

export const SUPERBLOCK_BYTES = 96;
/** Largest decoded size of a metadata block. */
export const METADATA_BYTES = 8192;

const MAGIC = 0x73717368;
const NO_TABLE = 0xffff_ffff_ffff_ffffn;
const MIN_BLOCK_LOG = 12;
const MAX_BLOCK_LOG = 20;

/** The superblock of a squashfs 4.0 image, validated. Offsets are bytes from the image's start. */
export interface Superblock {
  readonly compression: Compression;
  /** Decoded size of a data block: a power of two from 4 KiB to 1 MiB. */
  readonly blockBytes: number;
  /** Bit field as stored. */
  readonly flags: number;
  /** Seconds since the Unix epoch. */
  readonly createdAt: number;
  readonly inodeCount: number;
  readonly fragmentCount: number;
  readonly idCount: number;
  /** Reference of the root directory's inode. */
  readonly rootRef: number;
  /** Length of the image; the blob may be longer (padding, verity). */
  readonly bytesUsed: number;
  readonly inodeTable: number;
  readonly directoryTable: number;
  /** Where the indexes of the lookup tables lie; `undefined` where the image has no such table. */
  readonly fragmentTable: number | undefined;
  readonly exportTable: number | undefined;
  readonly idTable: number;
  readonly xattrTable: number | undefined;
}

/**
 * Reads and validates a superblock as the kernel does (fs/squashfs/super.c): tables lie in the order inodes, directories,
 * fragments, exports, ids, xattrs, all within `bytesUsed`, which lies within the blob. Throws `invalid-input` where a field
 * contradicts that and `unsupported` for other versions and compressors unknown.
 */
export async function readSuperblock(reader: BlobReader, signal?: AbortSignal): Promise<Superblock> {
  const { name } = reader;
  if (reader.sizeBytes < SUPERBLOCK_BYTES) throw malformed(name, 'it is shorter than a superblock');
  const bytes = await reader.readAt(0, SUPERBLOCK_BYTES, signal);
  if (bytes.readUInt32LE(0) !== MAGIC) throw malformed(name, 'the magic number is missing');
  const version = `${bytes.readUInt16LE(28)}.${bytes.readUInt16LE(30)}`;
  if (version !== '4.0') throw new StkError('unsupported', `${name} is squashfs ${version}; only 4.0 can be read`);
  const compressor = bytes.readUInt16LE(20);
  const compression = COMPRESSIONS[compressor - 1];
  if (compression === undefined) {
    throw new StkError('unsupported', `${name} uses compressor ${compressor}, which is not known`);
  }
  const blockBytes = bytes.readUInt32LE(12);
  const blockLog = bytes.readUInt16LE(22);
  if (blockLog < MIN_BLOCK_LOG || blockLog > MAX_BLOCK_LOG || blockBytes !== 2 ** blockLog) {
    throw malformed(name, `block size ${blockBytes} does not fit its logarithm ${blockLog}`);
  }
  const bytesUsed = offsetAt(bytes, 40);
  if (bytesUsed === undefined || bytesUsed < SUPERBLOCK_BYTES || bytesUsed > reader.sizeBytes) {
    throw malformed(name, `it says it is ${bytesUsed} bytes long, the blob has ${reader.sizeBytes}`);
  }
  const fragmentCount = bytes.readUInt32LE(16);
  const superblock: Superblock = {
    compression,
    blockBytes,
    flags: bytes.readUInt16LE(24),
    createdAt: bytes.readUInt32LE(8),
    inodeCount: bytes.readUInt32LE(4),
    fragmentCount,
    idCount: bytes.readUInt16LE(26),
    rootRef: refAt(name, bytes),
    bytesUsed,
    inodeTable: offsetAt(bytes, 64) ?? -1,
    directoryTable: offsetAt(bytes, 72) ?? -1,
    fragmentTable: fragmentCount === 0 ? undefined : offsetAt(bytes, 80),
    exportTable: offsetAt(bytes, 88),
    idTable: offsetAt(bytes, 48) ?? -1,
    xattrTable: offsetAt(bytes, 56),
  };
  checkTables(name, superblock);
  return superblock;
}

function checkTables(name: string, superblock: Superblock): void {
  const { inodeCount, fragmentCount, idCount } = superblock;
  if (inodeCount === 0) throw malformed(name, 'it has no inodes');
  if (idCount === 0) throw malformed(name, 'it has no ids');
  if (fragmentCount > 0 && superblock.fragmentTable === undefined)
    throw malformed(name, 'its fragment table is missing');
  // From the back to the front: each table's index ends where the next one begins, at the latest.
  const tables: readonly (readonly [what: string, start: number | undefined, bytes: number])[] = [
    ['xattr', superblock.xattrTable, 16],
    ['id', superblock.idTable, indexBytes(idCount, 4)],
    ['export', superblock.exportTable, indexBytes(inodeCount, 8)],
    ['fragment', superblock.fragmentTable, indexBytes(fragmentCount, 16)],
    ['directory', superblock.directoryTable, 0],
    ['inode', superblock.inodeTable, 3],
  ];
  let next = superblock.bytesUsed;
  for (const [what, start, bytes] of tables) {
    if (start === undefined) continue;
    if (start < SUPERBLOCK_BYTES || start + bytes > next) {
      throw malformed(name, `its ${what} table lies at ${start}, which cannot be`);
    }
    next = start;
  }
}

/** Length of the list of block positions in front of which a lookup table's blocks lie. */
export function indexBytes(count: number, entryBytes: number): number {
  return Math.ceil((count * entryBytes) / METADATA_BYTES) * 8;
}

/** A 64-bit offset; `undefined` for "no such table" and for what no blob can reach. */
function offsetAt(bytes: Buffer, at: number): number | undefined {
  const value = bytes.readBigUInt64LE(at);
  if (value === NO_TABLE) return undefined;
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : Number.MAX_SAFE_INTEGER;
}

function refAt(name: string, bytes: Buffer): number {
  const value = bytes.readBigUInt64LE(32);
  if (value >= 1n << 48n) throw malformed(name, 'the reference of its root directory is out of range');
  return Number(value);
}
