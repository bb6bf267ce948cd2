import { StkError } from '../core/errors.ts';
import { ACCESS_ACL, DEFAULT_ACL, modeWithoutAcl, parseAclText, parseAclXattr } from './posix-acl.ts';
import type { SparseSegment, TarEntry, TarEntryType } from './tar-entry.ts';
import { shownPath, tarError } from './tar-error.ts';
import type { TarHeader } from './tar-header.ts';
import type { PaxRecords } from './tar-pax.ts';
import { paxSparse } from './tar-sparse.ts';

/** What extension headers said about the entry that follows them. */
export interface Extensions {
  readonly pax?: PaxRecords;
  readonly longPath?: string;
  readonly longLinkPath?: string;
}

/** Types that have no body whatever their size field says; some writers put the size of a hard link's target there. */
export const HEADER_ONLY: ReadonlySet<string> = new Set(['1', '2', '3', '4', '5', '6']);

const TYPES: ReadonlyMap<string, TarEntryType> = new Map([
  ['0', 'file'],
  ['7', 'file'],
  ['S', 'file'],
  ['1', 'hardlink'],
  ['2', 'symlink'],
  ['3', 'char'],
  ['4', 'block'],
  ['5', 'directory'],
  ['D', 'directory'],
  ['6', 'fifo'],
]);

/** Bounds of what a header may say of one entry's extended attributes. */
const MAX_XATTR_BYTES = 65_535;
const MAX_ID = 0xff_ff_ff_ff;

export interface ParsedEntry extends TarEntry {
  /** Size with holes, where pax records describe a sparse file. */
  readonly sparseSize?: number;
  /** Its stretches, unless they stand in the body. */
  readonly segments?: readonly SparseSegment[];
}

/** Puts header and extensions together; a pax record wins over GNU's long names, and these over the header. */
export function entryFrom(header: TarHeader, globals: PaxRecords, extensions: Extensions): ParsedEntry {
  const type = TYPES.get(header.typeFlag);
  const fields = {
    path: extensions.longPath ?? header.path,
    linkPath: extensions.longLinkPath ?? header.linkPath,
    uid: header.uid,
    gid: header.gid,
    mtimeSeconds: header.mtimeSeconds,
  };
  const xattrs = new Map<string, Buffer>();
  const records = extensions.pax ?? [];
  for (const [key, value] of globals.length === 0 ? records : [...globals, ...records]) {
    if (value.length === 0 && !key.includes('xattr.')) continue;
    if (key === 'path' || key === 'linkpath') fields[key === 'path' ? 'path' : 'linkPath'] = value.toString('latin1');
    else if (key === 'uid' || key === 'gid') fields[key] = number(value, key);
    else if (key === 'mtime') fields.mtimeSeconds = Math.floor(number(value, key));
    else if (key.startsWith('SCHILY.xattr.')) setXattr(xattrs, key.slice(13), value);
    else if (key.startsWith('LIBARCHIVE.xattr.')) {
      const name = percentDecoded(key.slice(17));
      if (!xattrs.has(name)) setXattr(xattrs, name, Buffer.from(value.toString('latin1'), 'base64'));
    }
  }
  const sparse = type === 'file' && header.typeFlag !== 'S' ? paxSparse(records) : undefined;
  if (sparse?.path !== undefined) fields.path = sparse.path;
  for (const text of [fields.path, fields.linkPath]) if (text.includes('\0')) throw tarError('a name holds a NUL byte');
  if (type === undefined) {
    throw new StkError(
      'unsupported',
      `${shownPath(fields.path)}: tar entries of type ${JSON.stringify(header.typeFlag)}`,
    );
  }
  for (const id of [fields.uid, fields.gid]) {
    if (!Number.isInteger(id) || id < 0 || id > MAX_ID)
      throw tarError(`${shownPath(fields.path)} has an impossible owner`);
  }
  return {
    // v7 archives say "directory" with a slash at the end of the name.
    type: type === 'file' && header.typeFlag === '0' && fields.path.endsWith('/') ? 'directory' : type,
    ...fields,
    ...permissions({ mode: header.mode, type }, records, xattrs),
    sizeBytes: 0,
    deviceMajor: device(header.deviceMajor, type),
    deviceMinor: device(header.deviceMinor, type),
    xattrs,
    ...(sparse ? { sparseSize: sparse.sizeBytes, ...(sparse.segments ? { segments: sparse.segments } : {}) } : {}),
  };
}

/** Without the ACL, which star and libarchive write as text, and others as the xattr that it is for the kernel. */
function permissions(
  { mode, type }: Pick<TarEntry, 'mode' | 'type'>,
  records: PaxRecords,
  xattrs: ReadonlyMap<string, Buffer>,
): Pick<TarEntry, 'mode' | 'lostAcl'> {
  if (type === 'symlink' || type === 'hardlink') return { mode };
  const value = xattrs.get(ACCESS_ACL);
  const text = records.findLast(([key]) => key === 'SCHILY.acl.access')?.[1];
  const acl = (value && parseAclXattr(value)) ?? (text && parseAclText(text.toString('latin1')));
  const hasDefault =
    xattrs.has(DEFAULT_ACL) || records.some(([key, { length }]) => key === 'SCHILY.acl.default' && length > 0);
  const lostAcl = acl?.extended === true || (type === 'directory' && hasDefault);
  return { mode: acl ? modeWithoutAcl(mode, acl) : mode, ...(lostAcl ? { lostAcl } : {}) };
}

function device(value: number, type: TarEntryType): number {
  if (type !== 'char' && type !== 'block') return 0;
  if (value < 0 || value > 0xf_ff_ff) throw tarError('a device has an impossible number');
  return value;
}

function setXattr(xattrs: Map<string, Buffer>, name: string, value: Buffer): void {
  if (name === '' || name.length > 255 || name.includes('\0') || value.length > MAX_XATTR_BYTES) {
    throw tarError('an extended attribute is out of bounds');
  }
  // A copy, because it outlives the header that it is a part of.
  xattrs.set(name, Buffer.from(value));
}

function number(value: Buffer, key: string): number {
  const text = value.toString('latin1');
  if (!/^-?\d{1,20}(\.\d*)?$/.test(text)) throw tarError(`a pax header has a malformed ${key}`);
  return Number(text);
}

function percentDecoded(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
