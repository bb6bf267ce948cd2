import { open, type FileHandle } from './files.ts';

const PT_INTERP = 3;
/** Far beyond any real program header table, or path of a loader. */
const MAX_HEADERS = 128;
const MAX_PATH = 4096;

/**
 * The loader that a program of the host names (ELF, System V ABI, chapters 4 and 5); `undefined` for one that is linked
 * statically, or is no ELF file.
 */
export async function elfInterpreter(file: string): Promise<string | undefined> {
  await using handle = await open(file, 'r');
  const head = await readAt(handle, 0, 64);
  if (head.byteLength < 52 || head.getUint32(0) !== 0x7f454c46) return undefined;
  const is64 = head.getUint8(4) === 2;
  const little = head.getUint8(5) === 1;
  const word = (view: DataView, at64: number, at32: number) =>
    is64 ? Number(view.getBigUint64(at64, little)) : view.getUint32(at32, little);
  const entrySize = head.getUint16(is64 ? 54 : 42, little);
  const count = head.getUint16(is64 ? 56 : 44, little);
  if (entrySize < (is64 ? 56 : 32) || count > MAX_HEADERS) return undefined;
  const table = await readAt(handle, word(head, 32, 28), entrySize * count);
  for (let at = 0; at + entrySize <= table.byteLength; at += entrySize) {
    if (table.getUint32(at, little) !== PT_INTERP) continue;
    const length = word(table, at + 32, at + 16);
    const path = await readAt(handle, word(table, at + 8, at + 4), Math.min(length, MAX_PATH));
    return Buffer.from(path.buffer, path.byteOffset, path.byteLength)
      .toString('utf8')
      .replace(/\0[^]*$/, '');
  }
  return undefined;
}

async function readAt(handle: FileHandle, position: number, sizeBytes: number): Promise<DataView> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(sizeBytes), 0, sizeBytes, position);
  return new DataView(buffer.buffer, buffer.byteOffset, bytesRead);
}
