import type { BlobReader } from '../core/blob-reader.ts';
import { StkError } from '../core/errors.ts';
import { FuseWriter, ROOT_NODE } from '../host/fuse/wire.ts';

/** A file to be served. The reader must give the same bytes for as long as it is open. */
export interface ServedFile {
  /** One path component, at most 255 bytes. */
  readonly name: string;
  readonly reader: BlobReader;
}

export interface TableOwner {
  readonly uid: number;
  readonly gid: number;
}

const ATTR_OUT_BYTES = 104;
const ENTRY_OUT_BYTES = 128;
const DIRENT_BYTES = 24;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
/** Nothing here ever changes, so the kernel may remember it for as long as it likes. */
const FOREVER_SECONDS = 10 * 365 * 86_400;
const BLOCK_BYTES = 4096;
export const MAX_NAME_BYTES = 255;

/** One flat directory of immutable files, in the kernel's terms: node 1 is the root, the files follow. */
export class FileTable {
  readonly sizeBytes: number;
  readonly #files: readonly ServedFile[];
  readonly #nodes = new Map<string, number>();
  readonly #owner: TableOwner;
  readonly #names: readonly Buffer[];

  /** Throws `invalid-input` for names that no directory can hold or that stand twice. */
  constructor(files: readonly ServedFile[], owner: TableOwner) {
    this.#files = files;
    this.#owner = owner;
    this.#names = files.map(file => Buffer.from(file.name));
    this.#names.forEach((name, index) => {
      const key = name.toString('latin1');
      if (!isFileName(key) || this.#nodes.has(key)) {
        throw new StkError('invalid-input', `cannot serve a file under this name: ${files[index]!.name.slice(0, 300)}`);
      }
      this.#nodes.set(key, ROOT_NODE + 1 + index);
    });
    this.sizeBytes = files.reduce((sum, file) => sum + file.reader.sizeBytes, 0);
  }

  get count(): number {
    return this.#files.length;
  }

  /** The file of a node; `undefined` for the root and for nodes that were never given out. */
  file(node: number): ServedFile | undefined {
    return this.#files[node - ROOT_NODE - 1];
  }

  has(node: number): boolean {
    return node === ROOT_NODE || this.file(node) !== undefined;
  }

  /**
   * Node of a name in a directory. `.` of anything and `..` of the root's children are asked for when a file handle of
   * an export is opened again (FUSE_EXPORT_SUPPORT).
   */
  find(parent: number, name: string): number | undefined {
    if (name === '.' && this.has(parent)) return parent;
    if (name === '..' && this.has(parent)) return ROOT_NODE;
    return parent === ROOT_NODE ? this.#nodes.get(name) : undefined;
  }

  /** `fuse_entry_out` of a node that exists. */
  entry(node: number): Buffer {
    const writer = new FuseWriter(ENTRY_OUT_BYTES).u64(node).u64(0).u64(FOREVER_SECONDS).u64(FOREVER_SECONDS).skip(8);
    return this.#writeAttr(writer, node).bytes;
  }

  /** `fuse_attr_out` of a node that exists. */
  attributes(node: number): Buffer {
    return this.#writeAttr(new FuseWriter(ATTR_OUT_BYTES).u64(FOREVER_SECONDS).skip(8), node).bytes;
  }

  #writeAttr(writer: FuseWriter, node: number): FuseWriter {
    const reader = this.file(node)?.reader;
    const sizeBytes = reader?.sizeBytes ?? 0;
    return writer
      .u64(node)
      .u64(sizeBytes)
      .u64(Math.ceil(sizeBytes / 512))
      .skip(3 * 8 + 3 * 4)
      .u32(reader ? S_IFREG | 0o444 : S_IFDIR | 0o555)
      .u32(reader ? 1 : 2)
      .u32(this.#owner.uid)
      .u32(this.#owner.gid)
      .u32(0)
      .u32(BLOCK_BYTES);
  }

  /** `fuse_dirent`s from a position on, as many as fit: `.`, `..`, then the files. Empty at the end. */
  list(from: number, maxBytes: number): Buffer {
    const parts: Buffer[] = [];
    let room = maxBytes;
    for (let at = from; at < this.count + 2; at++) {
      const name = at < 2 ? Buffer.from('..'.slice(0, at + 1)) : this.#names[at - 2]!;
      const length = DIRENT_BYTES + Math.ceil(name.length / 8) * 8;
      if (length > room) break;
      room -= length;
      const [node, type] = at < 2 ? [ROOT_NODE, S_IFDIR] : [ROOT_NODE - 1 + at, S_IFREG];
      parts.push(
        new FuseWriter(length)
          .u64(node)
          .u64(at + 1)
          .u32(name.length)
          .u32(type >> 12)
          .text(name).bytes,
      );
    }
    return Buffer.concat(parts);
  }

  /** `fuse_statfs_out`: everything is full, as on any read-only filesystem. */
  statfs(): Buffer {
    const blocks = Math.ceil(this.sizeBytes / BLOCK_BYTES);
    return new FuseWriter(80)
      .u64(blocks)
      .u64(0)
      .u64(0)
      .u64(this.count + 1)
      .u64(0)
      .u32(BLOCK_BYTES)
      .u32(MAX_NAME_BYTES)
      .u32(BLOCK_BYTES).bytes;
  }
}

function isFileName(bytes: string): boolean {
  return bytes.length > 0 && bytes.length <= MAX_NAME_BYTES && bytes !== '.' && bytes !== '..' && !/[/\0]/.test(bytes);
}
