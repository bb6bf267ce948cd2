import type { ReadAt } from './zip-members.ts';

const MAX_SECTIONS = 10_000;
const MAX_NAMES_BYTES = 1024 * 1024;

/** Reads a section; `undefined` where the file has none of the name, or a larger one than asked for. */
export type ReadSection = (name: string, maxBytes: number) => Promise<Buffer | undefined>;

/** The sections of an ELF file (elf(5)); `undefined` where it is none. What is damaged has none. */
export async function elfSections(readAt: ReadAt, size: number): Promise<ReadSection | undefined> {
  if (size < 64) return undefined;
  const head = await readAt(0, 64);
  if (head.toString('latin1', 0, 4) !== '\x7fELF') return undefined;
  const isWide = head[4] === 2;
  const isBig = head[5] === 2;
  const word = (bytes: Buffer, at: number, length: 2 | 4 | 8): number => {
    if (length === 8) return Number(isBig ? bytes.readBigUInt64BE(at) : bytes.readBigUInt64LE(at));
    return isBig ? bytes.readUIntBE(at, length) : bytes.readUIntLE(at, length);
  };
  const tableAt = isWide ? word(head, 40, 8) : word(head, 32, 4);
  const [entryBytes, count, namesIndex] = [0, 2, 4].map(at => word(head, (isWide ? 58 : 46) + at, 2)) as [
    number,
    number,
    number,
  ];
  const none: ReadSection = async () => undefined;
  if (entryBytes < (isWide ? 64 : 40) || count > MAX_SECTIONS || namesIndex >= count) return none;
  if (tableAt + count * entryBytes > size) return none;
  const table = await readAt(tableAt, count * entryBytes);
  const section = (index: number) => {
    const at = index * entryBytes;
    return {
      name: word(table, at, 4),
      offset: isWide ? word(table, at + 24, 8) : word(table, at + 16, 4),
      sizeBytes: isWide ? word(table, at + 32, 8) : word(table, at + 20, 4),
    };
  };
  const isInside = ({ offset, sizeBytes }: { readonly offset: number; readonly sizeBytes: number }) =>
    offset + sizeBytes <= size;
  const names = section(namesIndex);
  if (!isInside(names) || names.sizeBytes > MAX_NAMES_BYTES) return none;
  const text = (await readAt(names.offset, names.sizeBytes)).toString('latin1');
  return async (name, maxBytes) => {
    for (let index = 0; index < count; index++) {
      const found = section(index);
      if (!text.startsWith(`${name}\0`, found.name)) continue;
      return isInside(found) && found.sizeBytes <= maxBytes ? readAt(found.offset, found.sizeBytes) : undefined;
    }
    return undefined;
  };
}
