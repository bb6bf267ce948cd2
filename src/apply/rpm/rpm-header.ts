/** What stk needs of a package's header. Texts are byte strings. */
export interface RpmHeader {
  readonly name: string;
  /** `[EPOCH:]VERSION-RELEASE`. */
  readonly version: string;
  /** Empty for pseudo packages, such as imported keys. */
  readonly architecture: string;
  /** Absolute paths of all that is no directory: those are shared among packages. */
  files(): readonly string[];
}

const TAG = {
  name: 1000,
  version: 1001,
  release: 1002,
  epoch: 1003,
  architecture: 1022,
  oldFileNames: 1027,
  fileModes: 1030,
  dirIndexes: 1116,
  baseNames: 1117,
  dirNames: 1118,
} as const;

const INDEX_ENTRY_BYTES = 16;
const INT16 = 3;
const INT32 = 4;
const STRING = 6;
const STRING_ARRAY = 8;

/**
 * Reads a header as the database stores it: counts of index entries and of data bytes, the index, the data, all big-endian.
 * `undefined` where it is damaged.
 */
export function parseRpmHeader(blob: Uint8Array): RpmHeader | undefined {
  const bytes = Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength);
  if (bytes.length < 8) return undefined;
  const count = bytes.readUInt32BE(0);
  const dataAt = 8 + count * INDEX_ENTRY_BYTES;
  if (dataAt + bytes.readUInt32BE(4) > bytes.length) return undefined;
  const entries = new Map<number, Entry>();
  for (let at = 8; at < dataAt; at += INDEX_ENTRY_BYTES) {
    const entry = { type: bytes.readUInt32BE(at + 4), at: dataAt + bytes.readUInt32BE(at + 8) };
    entries.set(bytes.readUInt32BE(at), { ...entry, count: bytes.readUInt32BE(at + 12) });
  }
  const data = { bytes, entries };
  const [name] = strings(data, TAG.name) ?? [];
  const [version] = strings(data, TAG.version) ?? [];
  const [release] = strings(data, TAG.release) ?? [];
  if (!name || version === undefined || release === undefined) return undefined;
  const [epoch] = integers(data, TAG.epoch) ?? [];
  const [architecture = ''] = strings(data, TAG.architecture) ?? [];
  return {
    name,
    version: `${epoch === undefined ? '' : `${epoch}:`}${version}-${release}`,
    architecture,
    files: () => fileNames(data),
  };
}

interface Entry {
  readonly type: number;
  /** Position in the blob. */
  readonly at: number;
  readonly count: number;
}

interface HeaderData {
  readonly bytes: Buffer;
  readonly entries: ReadonlyMap<number, Entry>;
}

/** What can be read of a list of strings; `undefined` where the tag is missing or of another type. */
function strings({ bytes, entries }: HeaderData, tag: number): string[] | undefined {
  const entry = entries.get(tag);
  if (entry === undefined || (entry.type !== STRING && entry.type !== STRING_ARRAY)) return undefined;
  const found: string[] = [];
  let { at } = entry;
  for (let left = entry.type === STRING ? 1 : entry.count; left > 0; left--) {
    const end = bytes.indexOf(0, at);
    if (at >= bytes.length || end < 0) break;
    found.push(bytes.toString('latin1', at, end));
    at = end + 1;
  }
  return found;
}

function integers({ bytes, entries }: HeaderData, tag: number): number[] | undefined {
  const entry = entries.get(tag);
  if (entry?.type !== INT32 && entry?.type !== INT16) return undefined;
  const size = entry.type === INT32 ? 4 : 2;
  if (entry.at + entry.count * size > bytes.length) return undefined;
  return Array.from({ length: entry.count }, (_, i) => bytes.readUIntBE(entry.at + i * size, size));
}

const FILE_TYPE = 0o170000;
const DIRECTORY = 0o040000;

function fileNames(data: HeaderData): readonly string[] {
  const modes = integers(data, TAG.fileModes) ?? [];
  const isDirectory = (i: number) => ((modes[i] ?? 0) & FILE_TYPE) === DIRECTORY;
  const directories = strings(data, TAG.dirNames);
  const indexes = integers(data, TAG.dirIndexes);
  if (directories === undefined || indexes === undefined) {
    return (strings(data, TAG.oldFileNames) ?? []).filter((_, i) => !isDirectory(i));
  }
  return (strings(data, TAG.baseNames) ?? []).flatMap((name, i) => {
    const directory = directories[indexes[i] ?? -1];
    return directory === undefined || isDirectory(i) ? [] : [directory + name];
  });
}
