import { buildStringTable } from './ld-so-cache-strings.ts';

/** A library as ldconfig lists it. Strings are byte strings. */
export interface LibraryEntry {
  readonly name: string;
  readonly path: string;
  readonly flags: number;
  /** `osversion` until glibc 2.35, unused since. */
  readonly osVersion: number;
  /** Bits of the platform as of before glibc-hwcaps; 0 where `subdirectory` is given. */
  readonly hwcap: bigint;
  /** Name below `glibc-hwcaps/`. */
  readonly subdirectory: string | undefined;
  /** Of the x86-64 ISA, with `subdirectory` only. */
  readonly isaLevel: number;
}

/** How a cache file is laid out, apart from what it lists. */
export interface CacheLayout {
  /** The table of libc 5 and glibc before 2.2 stands before the other, as until glibc 2.31. */
  readonly hasOldTable: boolean;
  readonly bigEndian: boolean;
  /** The header's byte of flags. */
  readonly flags: number;
  /** Who wrote it; files with it (glibc 2.33 and later) share strings. */
  readonly generator: string | undefined;
}

export interface LibraryCache {
  readonly layout: CacheLayout;
  /** In the file's order, which lookups depend on. */
  readonly entries: readonly LibraryEntry[];
}

const OLD_MAGIC = 'ld.so-1.7.0\0';
const NEW_MAGIC = 'glibc-ld.so.cache1.1';
const OLD_HEADER_BYTES = 16;
const OLD_ENTRY_BYTES = 12;
const HEADER_BYTES = 48;
const ENTRY_BYTES = 24;
const EXTENSION_MAGIC = 0xeaa42174;
const SECTION_BYTES = 16;
const GENERATOR_TAG = 0;
const HWCAPS_TAG = 1;
/** Marks a `hwcap` as position in the list of subdirectories. */
const HWCAP_EXTENSION = 1n << 62n;
const ISA_LEVEL_MASK = 0x3ffn;
const MAX_STRING_BYTES = 4096;

/**
 * Reads `/etc/ld.so.cache` as glibc's `dl-cache.h` describes it: the table of glibc 2.2 and later, alone or behind the one
 * before it. `undefined` where it is damaged or anything else.
 */
export function parseLibraryCache(bytes: Buffer): LibraryCache | undefined {
  try {
    return parse(bytes);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function parse(bytes: Buffer): LibraryCache | undefined {
  const hasOldTable = bytes.toString('latin1', 0, OLD_MAGIC.length) === OLD_MAGIC;
  const start = hasOldTable ? startBehindOldTable(bytes) : 0;
  if (start === undefined || bytes.toString('latin1', start, start + NEW_MAGIC.length) !== NEW_MAGIC) return undefined;
  const flags = bytes.readUInt8(start + 28);
  const bigEndian = (flags & 3) === 3 || ((flags & 3) === 0 && plausible(bytes, start) === 'big');
  const u32 = (at: number) => (bigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at));
  const count = u32(start + 20);
  const tableEnd = start + HEADER_BYTES + count * ENTRY_BYTES;
  if (tableEnd > bytes.length) return undefined;
  // Strings may lie in each other, so that a small file could claim very much.
  let budget = MAX_STRING_BYTES + 8 * bytes.length;
  const stringAt = (offset: number) => {
    const end = bytes.indexOf(0, start + offset);
    if (start + offset < tableEnd || end < 0 || end - start - offset > MAX_STRING_BYTES) throw new RangeError('string');
    budget -= end - start - offset;
    if (budget < 0) throw new RangeError('strings');
    return bytes.toString('latin1', start + offset, end);
  };
  const extension = parseExtension(bytes, u32(start + 32), u32);
  const entries: LibraryEntry[] = [];
  for (let at = start + HEADER_BYTES; at < tableEnd; at += ENTRY_BYTES) {
    const stored = bigEndian ? bytes.readBigUInt64BE(at + 16) : bytes.readBigUInt64LE(at + 16);
    const inSubdirectory = (stored >> 42n) << 42n === HWCAP_EXTENSION;
    const nameAt = inSubdirectory ? extension?.subdirectories[Number(stored & 0xffffffffn)] : undefined;
    if (inSubdirectory && nameAt === undefined) return undefined;
    entries.push({
      name: stringAt(u32(at + 4)),
      path: stringAt(u32(at + 8)),
      flags: u32(at) | 0,
      osVersion: u32(at + 12),
      hwcap: inSubdirectory ? 0n : stored,
      subdirectory: nameAt === undefined ? undefined : stringAt(nameAt),
      isaLevel: inSubdirectory ? Number((stored >> 32n) & ISA_LEVEL_MASK) : 0,
    });
  }
  return { layout: { hasOldTable, bigEndian, flags, generator: extension?.generator }, entries };
}

function startBehindOldTable(bytes: Buffer): number | undefined {
  for (const count of [bytes.readUInt32LE(12), bytes.readUInt32BE(12)]) {
    const start = OLD_HEADER_BYTES + count * OLD_ENTRY_BYTES;
    if (bytes.toString('latin1', start, start + NEW_MAGIC.length) === NEW_MAGIC) return start;
  }
  return undefined;
}

/** Files of glibc before 2.33 do not say their byte order. */
function plausible(bytes: Buffer, start: number): 'little' | 'big' {
  return bytes.readUInt32LE(start + 20) <= bytes.readUInt32BE(start + 20) ? 'little' : 'big';
}

interface Extension {
  readonly generator: string;
  /** Positions of strings. */
  readonly subdirectories: readonly number[];
}

function parseExtension(bytes: Buffer, offset: number, u32: (at: number) => number): Extension | undefined {
  if (offset === 0) return undefined;
  if (u32(offset) !== EXTENSION_MAGIC) throw new RangeError('extension');
  let generator = '';
  let subdirectories: number[] = [];
  const count = u32(offset + 4);
  if (count > 16) throw new RangeError('extension');
  for (let at = offset + 8; at < offset + 8 + count * SECTION_BYTES; at += SECTION_BYTES) {
    const [tag, from, size] = [u32(at), u32(at + 8), u32(at + 12)];
    if (from + size > bytes.length) throw new RangeError('section');
    if (tag === GENERATOR_TAG) generator = bytes.toString('latin1', from, from + size);
    else if (tag === HWCAPS_TAG) subdirectories = Array.from({ length: size >> 2 }, (_, i) => u32(from + i * 4));
    else throw new RangeError('section');
  }
  return { generator, subdirectories };
}

/** The file that ldconfig writes for these entries in this layout, byte for byte. */
export function encodeLibraryCache({ layout, entries }: LibraryCache): Buffer {
  const { hasOldTable, bigEndian, generator } = layout;
  const subdirectories = [...new Set(entries.flatMap(({ subdirectory }) => subdirectory ?? []))].sort();
  const strings = buildStringTable(entries, subdirectories, generator !== undefined);
  const old = entries.map((entry, position) => ({ entry, position })).filter(({ entry }) => entry.hwcap === 0n);
  // ldconfig doubles the last entry, so that the other table begins at a multiple of eight.
  if (hasOldTable && old.length % 2 === 1) old.push(old.at(-1)!);
  const start = hasOldTable ? OLD_HEADER_BYTES + old.length * OLD_ENTRY_BYTES : 0;
  const stringsAt = HEADER_BYTES + entries.length * ENTRY_BYTES;
  const stringsEnd = start + stringsAt + strings.bytes.length;
  const extensionAt = Math.ceil(stringsEnd / 4) * 4;
  const extension =
    generator === undefined
      ? Buffer.alloc(0)
      : encodeExtension({
          bigEndian,
          at: extensionAt,
          generator,
          subdirectories: subdirectories.map(name => stringsAt + strings.offsetOf(name)),
        });
  const file = Buffer.alloc(generator === undefined ? stringsEnd : extensionAt + extension.length);
  const put32 = (value: number, at: number) =>
    bigEndian ? file.writeUInt32BE(value >>> 0, at) : file.writeUInt32LE(value >>> 0, at);
  if (hasOldTable) {
    file.write(OLD_MAGIC, 'latin1');
    put32(old.length, 12);
    for (const [i, { entry, position }] of old.entries()) {
      const at = OLD_HEADER_BYTES + i * OLD_ENTRY_BYTES;
      put32(entry.flags, at);
      put32(stringsAt + strings.positions[position]!.name, at + 4);
      put32(stringsAt + strings.positions[position]!.path, at + 8);
    }
  }
  file.write(NEW_MAGIC, start, 'latin1');
  put32(entries.length, start + 20);
  put32(strings.bytes.length, start + 24);
  file.writeUInt8(layout.flags, start + 28);
  put32(generator === undefined ? 0 : extensionAt, start + 32);
  for (const [i, entry] of entries.entries()) {
    const at = start + HEADER_BYTES + i * ENTRY_BYTES;
    const { name, path } = strings.positions[i]!;
    put32(entry.flags, at);
    put32(stringsAt + name, at + 4);
    put32(stringsAt + path, at + 8);
    put32(entry.osVersion, at + 12);
    const hwcap = storedHwcap(entry, subdirectories);
    if (bigEndian) file.writeBigUInt64BE(hwcap, at + 16);
    else file.writeBigUInt64LE(hwcap, at + 16);
  }
  strings.bytes.copy(file, start + stringsAt);
  extension.copy(file, extensionAt);
  return file;
}

function storedHwcap({ hwcap, subdirectory, isaLevel }: LibraryEntry, subdirectories: readonly string[]): bigint {
  if (subdirectory === undefined) return hwcap;
  return HWCAP_EXTENSION | (BigInt(isaLevel) << 32n) | BigInt(subdirectories.indexOf(subdirectory));
}

interface ExtensionParts {
  readonly bigEndian: boolean;
  /** Position in the file. */
  readonly at: number;
  readonly generator: string;
  readonly subdirectories: readonly number[];
}

function encodeExtension({ bigEndian, at, generator, subdirectories }: ExtensionParts): Buffer {
  const sections = subdirectories.length > 0 ? 2 : 1;
  const listAt = 8 + sections * SECTION_BYTES;
  const listBytes = subdirectories.length * 4;
  const words = [EXTENSION_MAGIC, sections, GENERATOR_TAG, 0, at + listAt + listBytes, generator.length];
  if (sections === 2) words.push(HWCAPS_TAG, 0, at + listAt, listBytes, ...subdirectories);
  const head = Buffer.alloc(words.length * 4);
  for (const [i, word] of words.entries()) {
    if (bigEndian) head.writeUInt32BE(word, i * 4);
    else head.writeUInt32LE(word, i * 4);
  }
  return Buffer.concat([head, Buffer.from(generator, 'latin1')]);
}
