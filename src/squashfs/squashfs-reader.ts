import type { BlobReader } from '../core/blob-reader.ts';
import { StkError } from '../core/errors.ts';
import { imagePath } from '../core/paths.ts';
import { decompressorFor } from './decompress.ts';
import { findEntry, listDirectory, type DirectoryEntry, type DirectorySource } from './directory.ts';
import {
  dataBlocks,
  dataExtents,
  fileContent,
  fragmentBlock,
  newFragmentCache,
  type DataBlock,
  type DataSource,
  type Extent,
} from './file-data.ts';
import { readInode, type DirectoryInode, type FileInode, type Inode } from './inode.ts';
import { LookupTable } from './lookup-table.ts';
import { malformed } from './malformed.ts';
import { MetadataReader, type Region } from './metadata.ts';
import { PageCache } from './page-cache.ts';
import { lookupPath, resolvePath, type PathTree, type Resolved } from './resolve-path.ts';
import { readSuperblock, type Superblock } from './superblock.ts';
import { walkTree, WalkGuard, type WalkEntry, type WalkOptions } from './walk.ts';
import { NO_XATTRS, openXattrs, type XattrReader, type Xattrs } from './xattrs.ts';

/** Largest piece of a file that `readFile` returns at once unless the caller says otherwise. */
const MAX_READ_BYTES = 256 * 1024 * 1024;

export interface ReadFileOptions {
  /** Default 0. */
  readonly offset?: number;
  /** Default up to the end; cut at the end. */
  readonly length?: number;
  /** Refuse to return more than this, with `unsupported`; default 256 MiB. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
}

interface Source extends DirectorySource, DataSource {}

/**
 * One squashfs 4.0 image over a blob that may be remote. Opening costs two small reads. Names, paths and link targets are
 * byte strings (latin1: one character per byte); paths take the forms that `imagePath` accepts. Memory is bounded by
 * caches of about 25 MiB.
 *
 * Every method throws `invalid-input` where the image is malformed, `unsupported` for what cannot be decoded, and what
 * the blob's reader throws. Safe for concurrent calls. Owns the blob's reader.
 */
export class SquashfsReader implements AsyncDisposable {
  readonly superblock: Superblock;
  readonly #source: Source;
  readonly #pages: PageCache;
  readonly #tree: PathTree<Inode>;
  #xattrs: Promise<XattrReader> | undefined;

  /** Use `openSquashfs`. */
  constructor(source: Source, pages: PageCache) {
    this.superblock = source.superblock;
    this.#source = source;
    this.#pages = pages;
    this.#tree = {
      name: source.name,
      child: async (node, name, signal) => (node.type === 'directory' ? this.child(node, name, signal) : undefined),
      target: node => (node.type === 'symlink' ? node.target : undefined),
    };
  }

  /** The blob's name, for messages. */
  get name(): string {
    return this.#source.name;
  }

  /** Every number that is the owner or the group of an inode, and perhaps some that are neither. */
  get ownerIds(): Iterable<number> {
    return this.#source.ids;
  }

  async root(signal?: AbortSignal): Promise<DirectoryInode> {
    const inode = await readInode(this.#source, this.superblock.rootRef, signal);
    if (inode.type !== 'directory') throw malformed(this.name, 'its root is not a directory');
    return inode;
  }

  /** The inode behind a directory entry. */
  async inode(entry: DirectoryEntry, signal?: AbortSignal): Promise<Inode> {
    return this.#open(entry, signal);
  }

  /** As `inode`, but at once where the metadata are cached, since a walk asks for very many. */
  #open(entry: DirectoryEntry, signal: AbortSignal | undefined): Inode | Promise<Inode> {
    const check = (inode: Inode) => {
      if (inode.type === entry.type) return inode;
      const listed = JSON.stringify(entry.name);
      throw malformed(this.name, `${listed} is listed as ${entry.type} and is ${inode.type}`);
    };
    const inode = readInode(this.#source, entry.ref, signal);
    return inode instanceof Promise ? inode.then(check) : check(inode);
  }

  /** An inode by its number; `unsupported` where the image has no export table. */
  async inodeByNumber(number: number, signal?: AbortSignal): Promise<Inode> {
    const index = this.superblock.exportTable;
    if (index === undefined) throw new StkError('unsupported', `${this.name} has no export table`);
    const { metadata, name } = this.#source;
    const layout = { what: 'export table', count: this.superblock.inodeCount, entryBytes: 8, index };
    const table = new LookupTable(name, layout, this.#pages, metadata);
    const ref = (await table.entry(number - 1, signal)).readBigUInt64LE(0);
    if (ref >= 1n << 48n) throw malformed(name, 'its export table holds an impossible reference');
    return readInode(this.#source, Number(ref), signal);
  }

  /** The child of a directory; reads only the part of a large directory in which the name would stand. */
  async child(directory: DirectoryInode, name: string, signal?: AbortSignal): Promise<Inode | undefined> {
    const entry = await findEntry(this.#source, directory, name, signal);
    return entry && this.inode(entry, signal);
  }

  /** The inode at a path; no symlink is followed and `..` is taken lexically. */
  async lookup(path: string, signal?: AbortSignal): Promise<Inode | undefined> {
    return lookupPath<Inode>(this.#tree, await this.root(signal), imagePath(path), signal);
  }

  /** The inode that a process with this image as its root finds at a path, all symlinks followed inside of it. */
  async resolve(path: string, signal?: AbortSignal): Promise<Resolved<Inode> | undefined> {
    return resolvePath<Inode>(this.#tree, await this.root(signal), path, signal);
  }

  /** The entries of a directory, names ascending by bytes. */
  async *readDirectory(
    directory: DirectoryInode,
    signal?: AbortSignal,
  ): AsyncGenerator<DirectoryEntry, void, undefined> {
    for await (const run of this.listRuns(directory, signal)) yield* run;
  }

  /** As `readDirectory`, up to 256 entries at a time. */
  listRuns(
    directory: DirectoryInode,
    signal?: AbortSignal,
  ): AsyncGenerator<readonly DirectoryEntry[], void, undefined> {
    return listDirectory(this.#source, directory, signal);
  }

  async xattrs(inode: Inode, signal?: AbortSignal): Promise<Xattrs> {
    if (inode.xattrIndex === undefined) return NO_XATTRS;
    const { name, metadata } = this.#source;
    if (this.superblock.xattrTable === undefined) throw malformed(name, 'an inode has xattrs, and there is no table');
    // Shared by all callers, so no single one's signal may end it.
    this.#xattrs ??= openXattrs(name, this.superblock, this.#pages, metadata);
    const opening = this.#xattrs;
    const reader = await opening.catch((error: unknown) => {
      if (this.#xattrs === opening) this.#xattrs = undefined;
      throw error;
    });
    return reader.read(inode.xattrIndex, signal);
  }

  /** A piece of a file in one buffer, which belongs to the caller. */
  async readFile(file: FileInode, options: ReadFileOptions = {}): Promise<Buffer> {
    const start = Math.min(options.offset ?? 0, file.size);
    const end = Math.min(start + (options.length ?? Infinity), file.size);
    const maxBytes = options.maxBytes ?? MAX_READ_BYTES;
    if (end - start > maxBytes) {
      throw new StkError(
        'unsupported',
        `${this.name}: a file of ${end - start} bytes is too large to be read at once`,
        {
          facts: { sizeBytes: end - start, maxBytes },
        },
      );
    }
    const parts: Buffer[] = [];
    for await (const part of this.#content(file, { start, end }, options.signal)) parts.push(part);
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts, end - start);
  }

  /** A file's content in pieces of up to one block, which belong to the caller. Holes come as zeros. */
  openFile(file: FileInode, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    return this.#content(file, { start: 0, end: file.size }, signal);
  }

  #content(file: FileInode, range: { start: number; end: number }, signal: AbortSignal | undefined) {
    return fileContent(this.#source, file, range, signal);
  }

  /** Where a file's stored bytes lie in the blob, its (shared) fragment block last. */
  async dataExtents(file: FileInode, signal?: AbortSignal): Promise<readonly Extent[]> {
    return dataExtents(this.#source, file, signal);
  }

  /** Bytes of the blob as they are stored; `invalid-input` where the range lies outside of it. */
  async readStored({ offset, sizeBytes }: Extent, signal?: AbortSignal): Promise<Buffer> {
    return sizeBytes === 0 ? Buffer.alloc(0) : this.#source.reader.readAt(offset, sizeBytes, signal);
  }

  /** A file's own data blocks in order, holes included, its fragment not. */
  dataBlocks(file: FileInode, signal?: AbortSignal): AsyncIterable<DataBlock> {
    return dataBlocks(this.#source, file, signal);
  }

  /** The image's fragment blocks in the order of their indexes. */
  async *fragmentBlocks(signal?: AbortSignal): AsyncGenerator<DataBlock, void, undefined> {
    if (this.#source.fragments === undefined) return;
    for (let i = 0; i < this.superblock.fragmentCount; i++) yield fragmentBlock(this.#source, i, signal);
  }

  /**
   * Everything below a path, itself first, in directory order. Reads the tables in large pieces. Directories that form no
   * tree end it with `invalid-input`; a path where nothing is with `not-found`.
   */
  async *walk(options: WalkOptions<Inode> = {}): AsyncGenerator<WalkEntry<Inode>, void, undefined> {
    const { signal } = options;
    using _large = this.#pages.readSequentially();
    const path = imagePath(options.path ?? '');
    const node = await this.lookup(path, signal);
    if (node === undefined) throw new StkError('not-found', `${this.name} has no /${path}`, { facts: { path } });
    const guard = this.walkGuard();
    const tree = {
      list: (inode: Inode) => {
        if (inode.type !== 'directory') return undefined;
        guard.enter(inode);
        return this.listRuns(inode, signal);
      },
      open: (entry: DirectoryEntry) => this.#open(entry, signal),
    };
    yield* walkTree(tree, { path, node }, options);
  }

  /** For walks that a caller composes itself: ask it before each directory is listed. */
  walkGuard(): WalkGuard {
    return new WalkGuard(this.name, this.superblock);
  }

  /** Metadata is fetched in large pieces until the result is disposed of. */
  readSequentially(): Disposable {
    return this.#pages.readSequentially();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.reader[Symbol.asyncDispose]();
  }
}

/**
 * Opens an image; the reader passes to the result, or is disposed of where this throws: `invalid-input` for what is no
 * squashfs image, `unsupported` for versions and compressors that cannot be read.
 */
export async function openSquashfs(reader: BlobReader, signal?: AbortSignal): Promise<SquashfsReader> {
  try {
    return await open(reader, signal);
  } catch (error) {
    await reader[Symbol.asyncDispose]();
    throw error;
  }
}

async function open(reader: BlobReader, signal: AbortSignal | undefined): Promise<SquashfsReader> {
  const { name } = reader;
  const superblock = await readSuperblock(reader, signal);
  const decompressor = decompressorFor(superblock.compression);
  const pages = new PageCache(reader, superblock.bytesUsed);
  const metadata = new MetadataReader(name, pages, decompressor);
  const lookupTable = (what: string, count: number, entryBytes: number, index: number) =>
    new LookupTable(name, { what, count, entryBytes, index }, pages, metadata);
  const idBytes = await lookupTable('id table', superblock.idCount, 4, superblock.idTable).entries(
    0,
    superblock.idCount,
    signal,
  );
  const region = (what: string, start: number, end: number): Region => ({ what, start, end });
  const { inodeTable, directoryTable, fragmentTable, exportTable, idTable } = superblock;
  const source: Source = {
    name,
    superblock,
    reader,
    metadata,
    decompressor,
    inodeRegion: region('inode table', inodeTable, directoryTable),
    directoryRegion: region('directory table', directoryTable, fragmentTable ?? exportTable ?? idTable),
    ids: Uint32Array.from({ length: superblock.idCount }, (_, i) => idBytes.readUInt32LE(i * 4)),
    fragments:
      fragmentTable === undefined
        ? undefined
        : lookupTable('fragment table', superblock.fragmentCount, 16, fragmentTable),
    fragmentCache: newFragmentCache(),
  };
  return new SquashfsReader(source, pages);
}
