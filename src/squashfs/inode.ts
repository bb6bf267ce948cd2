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

/** Bytes of an inode's fixed part, where in them it begins, and a cursor that stands behind it. */
interface Fixed {
  readonly bytes: Buffer;
  readonly at: number;
  readonly cursor: Cursor;
}

// Spelt out member by member where inodes are made: spreading costs forty times as much as everything else here.
interface Common extends Pick<InodeBase, 'ref' | 'number' | 'mode' | 'uid' | 'gid' | 'mtime'> {
  readonly extended: boolean;
}

/**
 * Parses the inode at a reference, at once where its bytes are cached. Throws `invalid-input` where the image is
 * malformed.
 */
export function readInode(source: InodeSource, ref: number, signal?: AbortSignal): Inode | Promise<Inode> {
  const { metadata, inodeRegion } = source;
  const cursor = metadata.cursor(inodeRegion, Math.floor(ref / 65536), ref % 65536);
  const at = cursor.offset;
  const bytes = metadata.blockNow(cursor, HEADER_BYTES);
  if (bytes !== undefined) {
    const fixedBytes = fixedBytesOf(source, bytes.readUInt16LE(at), ref);
    if (at + fixedBytes <= bytes.length) {
      cursor.offset += fixedBytes;
      return parseInode(source, ref, { bytes, at, cursor }, signal);
    }
  }
  return readInodeSlowly(source, ref, cursor, signal);
}

async function readInodeSlowly(
  source: InodeSource,
  ref: number,
  cursor: Cursor,
  signal: AbortSignal | undefined,
): Promise<Inode> {
  const { metadata, inodeRegion: region } = source;
  const header = await metadata.read(cursor, HEADER_BYTES, region, signal);
  const bodyBytes = fixedBytesOf(source, header.readUInt16LE(0), ref) - HEADER_BYTES;
  const body = await metadata.read(cursor, bodyBytes, region, signal);
  return parseInode(source, ref, { bytes: Buffer.concat([header, body]), at: 0, cursor }, signal);
}

function fixedBytesOf(source: InodeSource, kind: number, ref: number): number {
  const bodyBytes = kind > 0 ? BODY_BYTES[kind] : undefined;
  if (bodyBytes === undefined) throw malformed(source.name, `inode at ${ref} has the unknown type ${kind}`);
  return HEADER_BYTES + bodyBytes;
}

function parseInode(
  source: InodeSource,
  ref: number,
  { bytes, at, cursor }: Fixed,
  signal: AbortSignal | undefined,
): Inode | Promise<Inode> {
  const kind = bytes.readUInt16LE(at);
  const extended = kind > INODE_TYPES.length;
  const type = INODE_TYPES[(kind - 1) % INODE_TYPES.length]!;
  const common: Common = {
    ref,
    number: bytes.readUInt32LE(at + 12),
    mode: bytes.readUInt16LE(at + 2) & 0o7777,
    uid: idOf(source, bytes.readUInt16LE(at + 4)),
    gid: idOf(source, bytes.readUInt16LE(at + 6)),
    mtime: bytes.readUInt32LE(at + 8),
    extended,
  };
  const body = { bytes, at: at + HEADER_BYTES, cursor };
  switch (type) {
    case 'directory':
      return parseDirectory(common, body);
    case 'file':
      return parseFile(source, common, body);
    case 'symlink':
      return readSymlink(source, common, body, signal);
    case 'block':
    case 'char':
      return parseDevice(common, type, body);
    case 'fifo':
    case 'socket': {
      const { number, mode, uid, gid, mtime } = common;
      const nlink = bytes.readUInt32LE(body.at);
      const xattrIndex = extended ? xattrIndexAt(bytes, body.at + 4) : undefined;
      return { ref, number, mode, uid, gid, mtime, type, nlink, size: 0, xattrIndex };
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

function parseDevice(common: Common, type: 'block' | 'char', { bytes, at }: Fixed): DeviceInode {
  const device = bytes.readUInt32LE(at + 4);
  return {
    ref: common.ref,
    number: common.number,
    mode: common.mode,
    uid: common.uid,
    gid: common.gid,
    mtime: common.mtime,
    type,
    nlink: bytes.readUInt32LE(at),
    size: 0,
    xattrIndex: common.extended ? xattrIndexAt(bytes, at + 8) : undefined,
    // The kernel's new_encode_dev: 12 bits of major between the two parts of 20 bits of minor.
    major: (device >>> 8) & 0xfff,
    minor: (device & 0xff) | ((device >>> 12) & 0xfff00),
  };
}

function parseDirectory(common: Common, { bytes, at, cursor }: Fixed): DirectoryInode {
  const { extended } = common;
  const size = extended ? bytes.readUInt32LE(at + 4) : bytes.readUInt16LE(at + 8);
  return {
    ref: common.ref,
    number: common.number,
    mode: common.mode,
    uid: common.uid,
    gid: common.gid,
    mtime: common.mtime,
    type: 'directory',
    nlink: bytes.readUInt32LE(extended ? at : at + 4),
    size,
    xattrIndex: extended ? xattrIndexAt(bytes, at + 20) : undefined,
    listing: {
      block: bytes.readUInt32LE(extended ? at + 8 : at),
      offset: bytes.readUInt16LE(extended ? at + 18 : at + 10),
      sizeBytes: Math.max(0, size - EMPTY_DIRECTORY),
      indexCount: extended ? bytes.readUInt16LE(at + 16) : 0,
      index: { block: cursor.block, offset: cursor.offset },
    },
  };
}

function parseFile(source: InodeSource, common: Common, { bytes, at, cursor }: Fixed): FileInode {
  const { extended } = common;
  const { bytesUsed, blockBytes } = source.superblock;
  const size = extended ? Number(bytes.readBigUInt64LE(at + 8)) : bytes.readUInt32LE(at + 12);
  const blocksStart = extended ? Number(bytes.readBigUInt64LE(at)) : bytes.readUInt32LE(at);
  if (!Number.isSafeInteger(size) || blocksStart > bytesUsed) throw malformed(source.name, 'a file lies outside of it');
  const fragmentIndex = bytes.readUInt32LE(extended ? at + 28 : at + 4);
  const hasFragment = fragmentIndex !== NO_FRAGMENT;
  const blocks = size / blockBytes;
  return {
    ref: common.ref,
    number: common.number,
    mode: common.mode,
    uid: common.uid,
    gid: common.gid,
    mtime: common.mtime,
    type: 'file',
    nlink: extended ? bytes.readUInt32LE(at + 24) : 1,
    size,
    xattrIndex: extended ? xattrIndexAt(bytes, at + 36) : undefined,
    layout: {
      blocksStart,
      blockCount: hasFragment ? Math.floor(blocks) : Math.ceil(blocks),
      sizes: { block: cursor.block, offset: cursor.offset },
      fragment: hasFragment
        ? { index: fragmentIndex, offset: bytes.readUInt32LE(extended ? at + 32 : at + 8) }
        : undefined,
    },
  };
}

function readSymlink(
  source: InodeSource,
  common: Common,
  { bytes, at, cursor }: Fixed,
  signal: AbortSignal | undefined,
): SymlinkInode | Promise<SymlinkInode> {
  const { extended } = common;
  const { metadata, inodeRegion } = source;
  const nlink = bytes.readUInt32LE(at);
  const size = bytes.readUInt32LE(at + 4);
  if (size === 0 || size > MAX_TARGET_BYTES) throw malformed(source.name, `a symlink's target is ${size} bytes long`);
  const finish = (rest: Buffer, start: number): SymlinkInode => {
    const target = rest.toString('latin1', start, start + size);
    if (target.includes('\0')) throw malformed(source.name, 'a symlink has a NUL byte in its target');
    const xattrIndex = extended ? xattrIndexAt(rest, start + size) : undefined;
    const { number, mode, uid, gid, mtime } = common;
    return { ref: common.ref, number, mode, uid, gid, mtime, type: 'symlink', nlink, size, xattrIndex, target };
  };
  const restBytes = extended ? size + 4 : size;
  const cached = metadata.blockNow(cursor, restBytes);
  if (cached !== undefined) return finish(cached, cursor.offset);
  return metadata.read(cursor, restBytes, inodeRegion, signal).then(read => finish(read, 0));
}
