import { open, type FileHandle } from './files.ts';

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_RPATH = 15;
const DT_RUNPATH = 29;
/** Far beyond any real program header table, path of a loader, dynamic section and table of names. */
const MAX_HEADERS = 128;
const MAX_PATH = 4096;
const MAX_DYNAMIC_BYTES = 64 * 1024;
const MAX_NAMES_BYTES = 16 * 1024 * 1024;

/** What a program or library of the host says of how it is loaded (ELF, System V ABI, chapters 4 and 5). */
export interface ElfFile {
  /** Class, byte order and machine: a program loads libraries of its own only. */
  readonly machine: string;
  /** The loader that a program names; `undefined` for one that is linked statically, and for libraries. */
  readonly interpreter: string | undefined;
  /** Names of the libraries that it needs itself. */
  readonly needed: readonly string[];
  /** Whether it says where to look for them (DT_RPATH, DT_RUNPATH). */
  readonly hasSearchPath: boolean;
}

/** Reads the headers of a file; `undefined` where it is no ELF file. */
export async function readElfFile(file: string): Promise<ElfFile | undefined> {
  await using handle = await open(file, 'r');
  const head = await readAt(handle, 0, 64);
  if (head.byteLength < 52 || head.getUint32(0) !== 0x7f454c46) return undefined;
  const layout = { is64: head.getUint8(4) === 2, little: head.getUint8(5) === 1 };
  const segments = await readSegments(handle, head, layout);
  if (segments === undefined) return undefined;
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  return {
    machine: `${head.getUint8(4)} ${head.getUint8(5)} ${head.getUint16(18, layout.little)}`,
    interpreter:
      interpreter && textAt(await readAt(handle, interpreter.offset, Math.min(interpreter.size, MAX_PATH)), 0),
    ...(await readDynamic(handle, segments, layout)),
  };
}

interface Layout {
  readonly is64: boolean;
  readonly little: boolean;
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

async function readSegments(
  handle: FileHandle,
  head: DataView,
  layout: Layout,
): Promise<readonly Segment[] | undefined> {
  const { is64, little } = layout;
  const entrySize = head.getUint16(is64 ? 54 : 42, little);
  const count = head.getUint16(is64 ? 56 : 44, little);
  if (entrySize < (is64 ? 56 : 32) || count > MAX_HEADERS) return undefined;
  const table = await readAt(handle, wordAt(head, is64 ? 32 : 28, layout), entrySize * count);
  const segments: Segment[] = [];
  for (let at = 0; at + entrySize <= table.byteLength; at += entrySize) {
    segments.push({
      type: table.getUint32(at, little),
      offset: wordAt(table, at + (is64 ? 8 : 4), layout),
      address: wordAt(table, at + (is64 ? 16 : 8), layout),
      size: wordAt(table, at + (is64 ? 32 : 16), layout),
    });
  }
  return segments;
}

async function readDynamic(
  handle: FileHandle,
  segments: readonly Segment[],
  layout: Layout,
): Promise<Pick<ElfFile, 'needed' | 'hasSearchPath'>> {
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return { needed: [], hasSearchPath: false };
  const table = await readAt(handle, dynamic.offset, Math.min(dynamic.size, MAX_DYNAMIC_BYTES));
  const width = layout.is64 ? 8 : 4;
  const entries: (readonly [tag: number, value: number])[] = [];
  for (let at = 0; at + 2 * width <= table.byteLength; at += 2 * width) {
    const tag = wordAt(table, at, layout);
    if (tag === 0) break;
    entries.push([tag, wordAt(table, at + width, layout)]);
  }
  const hasSearchPath = entries.some(([tag]) => tag === DT_RPATH || tag === DT_RUNPATH);
  const places = entries.flatMap(([tag, value]) => (tag === DT_NEEDED ? [value] : []));
  const address = entries.find(([tag]) => tag === DT_STRTAB)?.[1];
  const holder = segments.find(
    ({ type, address: from, size }) =>
      type === PT_LOAD && address !== undefined && address >= from && address < from + size,
  );
  if (places.length === 0 || address === undefined || holder === undefined) return { needed: [], hasSearchPath };
  const offset = holder.offset + address - holder.address;
  const names = await readAt(handle, offset, Math.min(Math.max(...places) + MAX_PATH, MAX_NAMES_BYTES));
  return { needed: places.map(place => textAt(names, place)), hasSearchPath };
}

/** A word of the file's class as a number: addresses and sizes beyond 2^53 are in no file that a host could load. */
function wordAt(view: DataView, at: number, { is64, little }: Layout): number {
  return is64 ? Number(view.getBigUint64(at, little)) : view.getUint32(at, little);
}

function textAt(view: DataView, at: number): string {
  const bytes = Buffer.from(view.buffer, view.byteOffset, view.byteLength).subarray(at);
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

async function readAt(handle: FileHandle, position: number, sizeBytes: number): Promise<DataView> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(sizeBytes), 0, sizeBytes, position);
  return new DataView(buffer.buffer, buffer.byteOffset, bytesRead);
}
