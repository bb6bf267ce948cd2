import { StkError } from '../core/errors.ts';
import { LookupTable } from './lookup-table.ts';
import { malformed } from './malformed.ts';
import type { Cursor, MetadataReader, Region } from './metadata.ts';
import type { PageCache } from './page-cache.ts';
import { SUPERBLOCK_BYTES, indexBytes, type Superblock } from './superblock.ts';

/** Extended attributes by full name (a byte string such as `security.capability`), in the image's order. */
export type Xattrs = ReadonlyMap<string, Buffer>;

export const NO_XATTRS: Xattrs = new Map();

const NAMESPACES = ['user.', 'trusted.', 'security.'] as const;
const OUT_OF_LINE = 0x100;
/** Linux: XATTR_NAME_MAX and XATTR_SIZE_MAX. */
const MAX_NAME_BYTES = 255;
const MAX_VALUE_BYTES = 65536;
/** Values may be shared, so that a small image could hold a huge set. */
const MAX_SET_BYTES = 4 * 1024 * 1024;

/** Reads sets of extended attributes by their index. */
export interface XattrReader {
  read(index: number, signal?: AbortSignal): Promise<Xattrs>;
}

/** Opens an image's xattr table; call only where it has one. Throws `invalid-input` where its header is malformed. */
export async function openXattrs(
  name: string,
  superblock: Superblock,
  pages: PageCache,
  metadata: MetadataReader,
): Promise<XattrReader> {
  const start = superblock.xattrTable!;
  const header = await pages.bytes(start, 16);
  const tableStart = header.readBigUInt64LE(0);
  const count = header.readUInt32LE(8);
  const index = start + 16;
  if (tableStart < BigInt(SUPERBLOCK_BYTES) || tableStart > BigInt(start)) {
    throw malformed(name, 'its xattr table lies outside of it');
  }
  if (index + indexBytes(count, 16) > superblock.bytesUsed) {
    throw malformed(name, `its xattr table claims ${count} sets`);
  }
  const sets = new LookupTable(name, { what: 'xattr table', count, entryBytes: 16, index }, pages, metadata);
  const region: Region = { what: 'xattr table', start: Number(tableStart), end: start };
  return {
    async read(setIndex, signal) {
      const set = await sets.entry(setIndex, signal);
      return readSet({ name, metadata, region }, set.readBigUInt64LE(0), set.readUInt32LE(8), signal);
    },
  };
}

interface SetSource {
  readonly name: string;
  readonly metadata: MetadataReader;
  readonly region: Region;
}

async function readSet(
  source: SetSource,
  ref: bigint,
  count: number,
  signal: AbortSignal | undefined,
): Promise<Xattrs> {
  const { name, metadata, region } = source;
  const cursor = cursorAt(source, ref);
  const xattrs = new Map<string, Buffer>();
  let totalBytes = 0;
  for (let i = 0; i < count; i++) {
    const head = await metadata.read(cursor, 4, region, signal);
    const type = head.readUInt16LE(0);
    const nameBytes = head.readUInt16LE(2);
    if (nameBytes === 0 || nameBytes > MAX_NAME_BYTES) throw malformed(name, 'an xattr has no valid name');
    const namespace = NAMESPACES[type & 0xff];
    if (namespace === undefined) {
      throw new StkError('unsupported', `${name} has xattrs of the namespace ${type & 0xff}, which is not known`);
    }
    const suffix = await metadata.read(cursor, nameBytes, region, signal);
    const value = await readValue(source, cursor, (type & OUT_OF_LINE) !== 0, signal);
    totalBytes += nameBytes + value.length + 8;
    if (totalBytes > MAX_SET_BYTES) throw malformed(name, `an inode has more than ${MAX_SET_BYTES} bytes of xattrs`);
    const fullName = namespace + suffix.toString('latin1');
    if (fullName.includes('\0') || xattrs.has(fullName)) {
      throw malformed(name, `the xattr ${JSON.stringify(fullName)} cannot be`);
    }
    xattrs.set(fullName, value);
  }
  return xattrs;
}

/** The value at the cursor, or where the reference that stands there points. A copy, which belongs to the caller. */
async function readValue(
  source: SetSource,
  cursor: Cursor,
  outOfLine: boolean,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const { name, metadata, region } = source;
  const size = (await metadata.read(cursor, 4, region, signal)).readUInt32LE(0);
  if (outOfLine) {
    if (size !== 8) throw malformed(name, 'an xattr value has no valid reference');
    const reference = (await metadata.read(cursor, 8, region, signal)).readBigUInt64LE(0);
    return readValue(source, cursorAt(source, reference), false, signal);
  }
  if (size > MAX_VALUE_BYTES) throw malformed(name, `an xattr value is ${size} bytes long`);
  return Buffer.from(await metadata.read(cursor, size, region, signal));
}

function cursorAt({ name, metadata, region }: SetSource, ref: bigint): Cursor {
  if (ref >= 1n << 48n) throw malformed(name, 'an xattr reference is out of range');
  return metadata.cursor(region, Number(ref >> 16n), Number(ref & 0xffffn));
}
