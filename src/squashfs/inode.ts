import { malformed } from './malformed.ts';
import type { Cursor, MetadataReader, Region } from './metadata.ts';
import type { Superblock } from './superblock.ts';

/** In the order of the format's numbers 1 to 7; the extended kinds are 8 to 14. */
export const INODE_TYPES = ['directory', 'file', 'symlink', 'block', 'char', 'fifo', 'socket'] as const;
export type InodeType = (typeof INODE_TYPES)[number];

interface InodeBase {
  /** Where the inode lies: `block << 16 | offset` in the inode table; unique within an image. */
  readonly ref: number;
  /** 1 and up; equal for hard links, unique within an image. */
  readonly number: number;
  /** Permission bits with setuid, setgid and sticky: `mode & 07777`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since the Unix epoch. */
  readonly mtime: number;
  readonly nlink: number;
  /** Bytes of a file's content, of a symlink's target or of a directory's listing; 0 for others. */
  readonly size: number;
  /** `undefined` where the inode has no extended attributes. */
  readonly xattrIndex: number | undefined;
}

/** A regular file; `layout` is for the reader of its data. */
export interface FileInode extends InodeBase {
  readonly type: 'file';
  readonly layout: FileLayout;
}

/** A directory; `listing` is for the reader of its entries. */
export interface DirectoryInode extends InodeBase {
  readonly type: 'directory';
  readonly listing: DirectoryListing;
}

export interface SymlinkInode extends InodeBase {
  readonly type: 'symlink';
  /** A byte string (latin1), 1 to 4095 bytes. */
  readonly target: string;
}

export interface DeviceInode extends InodeBase {
  readonly type: 'block' | 'char';
  readonly major: number;
  readonly minor: number;
}

export interface IpcInode extends InodeBase {
  readonly type: 'fifo' | 'socket';
}

/** What one squashfs inode says. */
export type Inode = FileInode | DirectoryInode | SymlinkInode | DeviceInode | IpcInode;

export interface FileLayout {
  /** Position in the image of the first data block. */
  readonly blocksStart: number;
  readonly blockCount: number;
  /** Where the 32-bit sizes of the blocks lie in the inode table. */
  readonly sizes: Readonly<Cursor>;
  /** The fragment that holds the file's tail, if it has one. */
  readonly fragment: { readonly index: number; readonly offset: number } | undefined;
}

export interface DirectoryListing {
  /** Offset in the directory table of the first metadata block, and offset within it. */
  readonly block: number;
  readonly offset: number;
  /** Bytes of headers and entries. */
  readonly sizeBytes: number;
  /** Entries of the index in the inode table; 0 where there is none. */
  readonly indexCount: number;
  readonly index: Readonly<Cursor>;
}

/** What parsing inodes needs of an image. */
export interface InodeSource {
  readonly name: string;
  readonly superblock: Superblock;
  readonly metadata: MetadataReader;
  readonly inodeRegion: Region;
  readonly ids: Uint32Array;
}

const NO_FRAGMENT = 0xffff_ffff;
const NO_XATTRS = 0xffff_ffff;
/** Linux refuses longer targets (PATH_MAX with its terminator). */
const MAX_TARGET_BYTES = 4095;
/** `st_size` that Linux lists for an empty directory: two bytes more than nothing, for `.` and `..`. */
const EMPTY_DIRECTORY = 3;
/** Bytes behind the common header, by type number. */
const BODY_BYTES = [0, 16, 16, 8, 8, 8, 4, 4, 24, 40, 8, 12, 12, 8, 8] as const;
const HEADER_BYTES = 16;

/** Parses the inode at a reference. Throws `invalid-input` where the image is malformed. */
export async function readInode(source: InodeSource, ref: number, signal?: AbortSignal): Promise<Inode> {
  const { metadata, inodeRegion: region } = source;
  const cursor = metadata.cursor(region, Math.floor(ref / 65536), ref % 65536);
  const head = metadata.readNow(cursor, HEADER_BYTES) ?? (await metadata.read(cursor, HEADER_BYTES, region, signal));
  const kind = head.readUInt16LE(0);
  const bodyBytes = kind > 0 ? BODY_BYTES[kind] : undefined;
  if (bodyBytes === undefined) throw malformed(source.name, `inode at ${ref} has the unknown type ${kind}`);
  const body = metadata.readNow(cursor, bodyBytes) ?? (await metadata.read(cursor, bodyBytes, region, signal));
  const common = {
    ref,
    number: head.readUInt32LE(12),
    mode: head.readUInt16LE(2) & 0o7777,
    uid: idOf(source, head.readUInt16LE(4)),
    gid: idOf(source, head.readUInt16LE(6)),
    mtime: head.readUInt32LE(8),
  };
  switch (kind) {
    case 1:
    case 8:
      return { ...common, ...parseDirectory(kind === 8, body, cursor) };
    case 2:
    case 9:
      return { ...common, ...parseFile(source, kind === 9, body, cursor) };
    case 3:
    case 10:
      return { ...common, ...(await readSymlink(source, kind === 10, body, cursor, signal)) };
    default: {
      const type = INODE_TYPES[(kind - 1) % 7] as 'block' | 'char' | 'fifo' | 'socket';
      const rest = {
        nlink: body.readUInt32LE(0),
        size: 0,
        xattrIndex: kind > 7 ? xattrIndexAt(body, bodyBytes - 4) : undefined,
      };
      if (type === 'fifo' || type === 'socket') return { ...common, ...rest, type };
      const device = body.readUInt32LE(4);
      // The kernel's new_encode_dev: 12 bits of major, 20 of minor.
      const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
      return { ...common, ...rest, type, major: (device >>> 8) & 0xfff, minor };
    }
  }
}

function idOf(source: InodeSource, index: number): number {
  const id = source.ids[index];
  if (id === undefined) throw malformed(source.name, `an owner refers to id ${index} of ${source.ids.length}`);
  return id;
}

function xattrIndexAt(bytes: Buffer, at: number): number | undefined {
  const index = bytes.readUInt32LE(at);
  return index === NO_XATTRS ? undefined : index;
}

function parseDirectory(extended: boolean, body: Buffer, cursor: Cursor) {
  const size = extended ? body.readUInt32LE(4) : body.readUInt16LE(8);
  const listing: DirectoryListing = {
    block: body.readUInt32LE(extended ? 8 : 0),
    offset: body.readUInt16LE(extended ? 18 : 10),
    sizeBytes: Math.max(0, size - EMPTY_DIRECTORY),
    indexCount: extended ? body.readUInt16LE(16) : 0,
    index: { ...cursor },
  };
  return {
    type: 'directory' as const,
    nlink: body.readUInt32LE(extended ? 0 : 4),
    size,
    xattrIndex: extended ? xattrIndexAt(body, 20) : undefined,
    listing,
  };
}

function parseFile(source: InodeSource, extended: boolean, body: Buffer, cursor: Cursor) {
  const { name, superblock } = source;
  const size = extended ? Number(body.readBigUInt64LE(8)) : body.readUInt32LE(12);
  const blocksStart = extended ? Number(body.readBigUInt64LE(0)) : body.readUInt32LE(0);
  if (!Number.isSafeInteger(size) || blocksStart > superblock.bytesUsed) {
    throw malformed(name, 'a file lies outside of it');
  }
  const fragmentIndex = body.readUInt32LE(extended ? 28 : 4);
  const fragmentOffset = body.readUInt32LE(extended ? 32 : 8);
  const whole = size / superblock.blockBytes;
  const fragment = fragmentIndex === NO_FRAGMENT ? undefined : { index: fragmentIndex, offset: fragmentOffset };
  const layout: FileLayout = {
    blocksStart,
    blockCount: fragment === undefined ? Math.ceil(whole) : Math.floor(whole),
    sizes: { ...cursor },
    fragment,
  };
  return {
    type: 'file' as const,
    nlink: extended ? body.readUInt32LE(24) : 1,
    size,
    xattrIndex: extended ? xattrIndexAt(body, 36) : undefined,
    layout,
  };
}

async function readSymlink(
  source: InodeSource,
  extended: boolean,
  body: Buffer,
  cursor: Cursor,
  signal: AbortSignal | undefined,
) {
  const { metadata, inodeRegion: region } = source;
  const size = body.readUInt32LE(4);
  if (size === 0 || size > MAX_TARGET_BYTES) throw malformed(source.name, `a symlink's target is ${size} bytes long`);
  const total = extended ? size + 4 : size;
  const bytes = metadata.readNow(cursor, total) ?? (await metadata.read(cursor, total, region, signal));
  const target = bytes.toString('latin1', 0, size);
  if (target.includes('\0')) throw malformed(source.name, 'a symlink has a NUL byte in its target');
  return {
    type: 'symlink' as const,
    nlink: body.readUInt32LE(0),
    size,
    xattrIndex: extended ? xattrIndexAt(bytes, size) : undefined,
    target,
  };
}
