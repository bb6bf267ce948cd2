import { inflateRawSync } from 'node:zlib';

/** Exactly so many bytes of a file from an offset. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>;

export interface ZipMember {
  readonly name: string;
  /** Its content; `undefined` where that is damaged, too large, or compressed otherwise than by deflate. */
  read(): Promise<Buffer | undefined>;
}

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 65_535;
const MAX_DIRECTORY_BYTES = 32 * 1024 * 1024;
const MAX_MEMBER_BYTES = 1024 * 1024;

/**
 * Members of a zip archive whose names are wanted, by its central directory (APPNOTE.TXT, 4.3); `undefined` where there is
 * none. Archives of more than 4 GiB are not looked into.
 */
export async function zipMembers(
  readAt: ReadAt,
  size: number,
  isWanted: (name: string) => boolean,
): Promise<readonly ZipMember[] | undefined> {
  const tailBytes = Math.min(size, END_BYTES + MAX_COMMENT_BYTES);
  // Few archives have a comment.
  const short = await readAt(Math.max(0, size - END_BYTES), Math.min(size, END_BYTES));
  const isShort = short.length === END_BYTES && short.readUInt32LE(0) === END;
  const tail = isShort ? short : await readAt(size - tailBytes, tailBytes);
  const at = findEnd(tail);
  if (at === undefined) return undefined;
  const [count, directoryBytes, offset] = [
    tail.readUInt16LE(at + 10),
    tail.readUInt32LE(at + 12),
    tail.readUInt32LE(at + 16),
  ];
  if (directoryBytes > MAX_DIRECTORY_BYTES || offset + directoryBytes > size) return undefined;
  const directory = await readAt(offset, directoryBytes);
  const members: ZipMember[] = [];
  for (let entry = 0, next = 0; entry < count; entry++) {
    if (next + 46 > directory.length || directory.readUInt32LE(next) !== ENTRY) return undefined;
    const nameBytes = directory.readUInt16LE(next + 28);
    const name = directory.toString('latin1', next + 46, next + 46 + nameBytes);
    const stored: StoredMember = {
      method: directory.readUInt16LE(next + 10),
      sizeBytes: directory.readUInt32LE(next + 20),
      offset: directory.readUInt32LE(next + 42),
    };
    if (isWanted(name)) members.push({ name, read: () => readMember(readAt, size, stored) });
    next += 46 + nameBytes + directory.readUInt16LE(next + 30) + directory.readUInt16LE(next + 32);
  }
  return members;
}

interface StoredMember {
  readonly method: number;
  /** Compressed. */
  readonly sizeBytes: number;
  readonly offset: number;
}

async function readMember(
  readAt: ReadAt,
  size: number,
  { method, sizeBytes, offset }: StoredMember,
): Promise<Buffer | undefined> {
  if (offset + 30 > size || sizeBytes > MAX_MEMBER_BYTES) return undefined;
  const head = await readAt(offset, 30);
  if (head.readUInt32LE(0) !== LOCAL) return undefined;
  const start = offset + 30 + head.readUInt16LE(26) + head.readUInt16LE(28);
  if (start + sizeBytes > size) return undefined;
  const bytes = await readAt(start, sizeBytes);
  if (method === 0) return bytes;
  if (method !== 8) return undefined;
  try {
    return inflateRawSync(bytes, { maxOutputLength: MAX_MEMBER_BYTES });
  } catch {
    return undefined;
  }
}

function findEnd(tail: Buffer): number | undefined {
  for (let at = tail.length - END_BYTES; at >= 0; at--) if (tail.readUInt32LE(at) === END) return at;
  return undefined;
}
