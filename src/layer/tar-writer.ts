import {
  TAR_BLOCK_BYTES,
  storedBytes,
  tarPadding,
  type SparseSegment,
  type TarEntry,
  type TarEntryType,
} from './tar-entry.ts';
import { paxRecord } from './tar-pax.ts';

const TYPE_FLAGS: Readonly<Record<TarEntryType, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

const MAX_OCTAL_ID = 0o7777777;
const MAX_OCTAL_SIZE = 0o77777777777;

/** The two zero blocks that end an archive. */
export const TAR_END = Buffer.alloc(2 * TAR_BLOCK_BYTES);

/**
 * Header blocks of an entry as ustar, with a pax header before it for what ustar cannot say (long or large values,
 * xattrs); a sparse file is written in GNU's pax format 1.0, the map included. The caller writes the stored bytes and
 * `tarPadding` after it. The same entry always gives the same bytes.
 */
export function tarHeader(entry: TarEntry): Buffer {
  const stored = entry.type === 'file' ? storedBytes(entry) : 0;
  const map = entry.sparse ? sparseMap(entry.sparse, entry.sizeBytes) : undefined;
  const size = stored + (map?.length ?? 0);
  const records = paxRecords(entry, size);
  const header = ustarBlock(entry, TYPE_FLAGS[entry.type], map ? 'GNUSparseFile.0' : entry.path, size);
  const blocks = [header, ...(map ? [map] : [])];
  if (records.length === 0) return blocks.length === 1 ? header : Buffer.concat(blocks);
  const body = Buffer.concat(records);
  const plain = {
    ...entry,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    linkPath: '',
    deviceMajor: 0,
    deviceMinor: 0,
  };
  const extension = ustarBlock(plain, 'x', './PaxHeader', body.length);
  return Buffer.concat([extension, body, Buffer.alloc(tarPadding(body.length)), ...blocks]);
}

function paxRecords(entry: TarEntry, size: number): Buffer[] {
  const records: Buffer[] = [];
  if (entry.sparse) {
    records.push(
      paxRecord('GNU.sparse.major', '1'),
      paxRecord('GNU.sparse.minor', '0'),
      paxRecord('GNU.sparse.name', entry.path),
      paxRecord('GNU.sparse.realsize', String(entry.sizeBytes)),
    );
  } else if (entry.path.length > 100) records.push(paxRecord('path', entry.path));
  if (entry.linkPath.length > 100) records.push(paxRecord('linkpath', entry.linkPath));
  if (size > MAX_OCTAL_SIZE) records.push(paxRecord('size', String(size)));
  if (entry.uid > MAX_OCTAL_ID) records.push(paxRecord('uid', String(entry.uid)));
  if (entry.gid > MAX_OCTAL_ID) records.push(paxRecord('gid', String(entry.gid)));
  if (entry.mtimeSeconds < 0 || entry.mtimeSeconds > MAX_OCTAL_SIZE) {
    records.push(paxRecord('mtime', String(entry.mtimeSeconds)));
  }
  if (entry.xattrs.size > 0) {
    const sorted = [...entry.xattrs].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [name, value] of sorted) records.push(paxRecord(`SCHILY.xattr.${name}`, value));
  }
  return records;
}

function sparseMap(segments: readonly SparseSegment[], sizeBytes: number): Buffer {
  const last = segments.at(-1);
  // GNU tar learns where a hole at the end stops from an empty stretch there.
  const ends = last !== undefined && last.offset + last.length === sizeBytes;
  const all = ends ? segments : [...segments, { offset: sizeBytes, length: 0 }];
  const text = `${[all.length, ...all.flatMap(({ offset, length }) => [offset, length])].join('\n')}\n`;
  return Buffer.concat([Buffer.from(text, 'latin1'), Buffer.alloc(tarPadding(text.length))]);
}

function ustarBlock(entry: TarEntry, typeFlag: string, path: string, size: number): Buffer {
  const block = Buffer.alloc(TAR_BLOCK_BYTES);
  block.write(path.slice(0, 100), 0, 'latin1');
  octal(block, entry.mode, 100, 8);
  octal(block, entry.uid > MAX_OCTAL_ID ? 0 : entry.uid, 108, 8);
  octal(block, entry.gid > MAX_OCTAL_ID ? 0 : entry.gid, 116, 8);
  octal(block, size > MAX_OCTAL_SIZE ? 0 : size, 124, 12);
  octal(block, Math.min(Math.max(entry.mtimeSeconds, 0), MAX_OCTAL_SIZE), 136, 12);
  block.write('        ', 148, 'latin1');
  block.write(typeFlag, 156, 'latin1');
  block.write(entry.linkPath.slice(0, 100), 157, 'latin1');
  block.write('ustar\u000000', 257, 'latin1');
  octal(block, entry.deviceMajor, 329, 8);
  octal(block, entry.deviceMinor, 337, 8);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function octal(block: Buffer, value: number, start: number, length: number): void {
  block.write(value.toString(8).padStart(length - 1, '0'), start, 'latin1');
}
