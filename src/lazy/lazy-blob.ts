import { assertInsideBlob, type BlobReader } from '../core/blob-reader.ts';
import { StkError, throwIfAborted } from '../core/errors.ts';
import { unlessAborted } from '../core/unless-aborted.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { findWrongBlock } from './block-hashes.ts';
import { LazyTree } from './lazy-tree.ts';
import type { LazyCounters } from './lazy-counters.ts';
import type { BlobParts } from './part-file.ts';
import type { FetchSource } from './patient-source.ts';
import { RecentPieces } from './recent-pieces.ts';
import type { Priority } from './request-queue.ts';
import type { VerityHashes } from './verity-hashes.ts';

const BLOCK_BYTES = 4096;
/** What is fetched at least: at 100 Mbit/s and 20 ms it takes a fourth of the time that its request does. */
export const PIECE_BYTES = 64 * 1024;
/** Neighbours that are fetched by one request, 1 MiB. */
const MAX_RUN_PIECES = 16;

export interface LazyBlobOptions {
  /** Digest and size are believed: they are of a manifest. */
  readonly descriptor: Descriptor;
  /** 64 hex digits, of the same manifest. */
  readonly verityRoot: string;
  /** For messages. */
  readonly name: string;
  readonly source: FetchSource;
  /** What is at hand; the blob's own from now on. */
  readonly parts: BlobParts;
  readonly counters: LazyCounters;
}

/**
 * A blob of a registry that is fetched as it is read. Every block is compared with the verity tree at the blob's end each
 * time it is read, wherever it comes from: what the parts at hand have wrong is as good as absent, and is fetched. A piece that
 * several want at once is fetched once; neighbours come by one request. Only what was found right is kept. Wrong bytes of the
 * registry are `integrity`, with the blob's digest and the block's offset. Its size is that of the data, without the tree.
 */
export class LazyBlob implements BlobReader {
  readonly sizeBytes: number;
  readonly name: string;
  readonly #options: LazyBlobOptions;
  readonly #hashes: VerityHashes;
  readonly #tree: LazyTree;
  readonly #flights = new Map<number, Promise<Buffer>>();
  /** Pieces that this process has kept, a bit each: who finds one absent that arrived just now looks again. */
  readonly #arrived: Uint8Array;
  readonly #recent = new RecentPieces();

  private constructor(options: LazyBlobOptions, tree: LazyTree, hashes: VerityHashes) {
    this.#options = options;
    this.#tree = tree;
    this.#hashes = hashes;
    this.name = options.name;
    this.sizeBytes = hashes.dataBytes;
    this.#arrived = new Uint8Array(Math.ceil(hashes.dataBytes / PIECE_BYTES / 8));
  }

  /**
   * Asks for the blob's ends unless these are at hand: up to three requests at once. Throws `integrity` for a blob without the tree. Takes
   * ownership of the parts, also where it throws.
   */
  static async open(options: LazyBlobOptions, signal?: AbortSignal): Promise<LazyBlob> {
    try {
      const tree = new LazyTree(options);
      const hashes = await tree.open(options.verityRoot, signal);
      return new LazyBlob(options, tree, hashes);
    } catch (error) {
      await options.parts[Symbol.asyncDispose]();
      throw error;
    }
  }

  async readAt(offset: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    assertInsideBlob(this, offset, length);
    throwIfAborted(signal);
    if (length === 0) return Buffer.alloc(0);
    const { counters, parts } = this.#options;
    const start = Math.floor(offset / BLOCK_BYTES) * BLOCK_BYTES;
    const end = Math.min(Math.ceil((offset + length) / BLOCK_BYTES) * BLOCK_BYTES, this.sizeBytes);
    const [bytes, expected] = await Promise.all([parts.read(start, end - start), this.#expected(start, end, signal)]);
    counters.readBytes += length;
    counters.hitBytes += length;
    const absent: number[] = [];
    for (let piece = Math.floor(start / PIECE_BYTES); piece * PIECE_BYTES < end; piece++) {
      const [from, to] = [Math.max(start, piece * PIECE_BYTES), Math.min(end, (piece + 1) * PIECE_BYTES)];
      const hashes = expected.subarray(((from - start) / BLOCK_BYTES) * 32);
      if (findWrongBlock(bytes.subarray(from - start, to - start), BLOCK_BYTES, this.#hashes.salt, hashes) < 0)
        continue;
      absent.push(piece);
      counters.hitBytes -= Math.max(0, Math.min(to, offset + length) - Math.max(from, offset));
    }
    const loads = this.#load(absent, 'demand');
    const fetched = await unlessAborted(Promise.all(loads), signal);
    for (const [index, piece] of absent.entries()) {
      const from = piece * PIECE_BYTES;
      fetched[index]!.copy(bytes, Math.max(0, from - start), Math.max(0, start - from), end - from);
    }
    return bytes.subarray(offset - start, offset - start + length);
  }

  /** Has a range at hand; what is there already costs a look. Bytes that come are counted as fetched, not as read. */
  async prefetch(offset: number, length: number, priority: Priority, signal?: AbortSignal): Promise<void> {
    const absent: number[] = [];
    const end = Math.min(offset + length, this.sizeBytes);
    for (let piece = Math.floor(offset / PIECE_BYTES); piece * PIECE_BYTES < end; piece++) {
      if (!(await this.#kept(piece, signal))) absent.push(piece);
    }
    await unlessAborted(Promise.all(this.#load(absent, priority)), signal);
  }

  /** Hash of every block of a range that begins and ends with one. */
  #expected(start: number, end: number, signal?: AbortSignal): Promise<Buffer> {
    return this.#hashes.expected(start / BLOCK_BYTES, Math.ceil((end - start) / BLOCK_BYTES), signal);
  }

  /** A piece that is at hand and right. */
  async #kept(piece: number, signal?: AbortSignal): Promise<Buffer | undefined> {
    const recent = this.#recent.find(piece);
    if (recent) return recent;
    const [start, end] = this.#bounds(piece, piece + 1);
    const expected = await this.#expected(start, end, signal);
    const bytes = await this.#options.parts.read(start, end - start);
    return findWrongBlock(bytes, BLOCK_BYTES, this.#hashes.salt, expected) < 0 ? bytes : undefined;
  }

  /** Pieces in ascending order, each on its way already or in a request with its neighbours. */
  #load(pieces: readonly number[], priority: Priority): Promise<Buffer>[] {
    for (let at = 0; at < pieces.length;) {
      const first = pieces[at]!;
      let count = 0;
      while (count < MAX_RUN_PIECES && pieces[at + count] === first + count && !this.#flights.has(first + count))
        count++;
      if (count > 0) this.#begin(first, count, priority);
      at += Math.max(1, count);
    }
    return pieces.map(piece => this.#flights.get(piece)!);
  }

  #begin(first: number, count: number, priority: Priority): void {
    const run = this.#fetchRun(first, count, priority);
    for (let piece = first; piece < first + count; piece++) {
      const from = (piece - first) * PIECE_BYTES;
      const flight = run
        .then(bytes => bytes.subarray(from, from + PIECE_BYTES))
        .finally(() => this.#flights.delete(piece));
      // Nobody may be waiting any more when it fails.
      flight.catch(() => {});
      this.#flights.set(piece, flight);
    }
  }

  /** Takes no signal: who gave up must not take it from the others, and what comes is kept. */
  async #fetchRun(first: number, count: number, priority: Priority): Promise<Buffer> {
    const found = await this.#lookAgain(first, count);
    if (found) return found;
    const [start, end] = this.#bounds(first, first + count);
    const expected = await this.#expected(start, end);
    const check = (bytes: Buffer) => this.#check(bytes, start, expected);
    let bytes = this.#tree.takeData(start, end);
    try {
      if (bytes) check(bytes);
    } catch {
      bytes = undefined;
    }
    bytes ??= await this.#options.source.fetch(this.#options.descriptor, start, end - start, { priority, check });
    await this.#keep(first, count, start, bytes);
    return bytes;
  }

  /** Pieces that arrived after somebody found them absent. */
  async #lookAgain(first: number, count: number): Promise<Buffer | undefined> {
    const pieces: Buffer[] = [];
    for (let piece = first; piece < first + count; piece++) {
      const isKnown = this.#recent.find(piece) !== undefined || (this.#arrived[piece >> 3]! & (1 << (piece & 7))) !== 0;
      const kept = isKnown ? await this.#kept(piece) : undefined;
      if (!kept) return undefined;
      pieces.push(kept);
    }
    return Buffer.concat(pieces);
  }

  async #keep(first: number, count: number, start: number, bytes: Buffer): Promise<void> {
    const isKept = await this.#options.parts.write(start, bytes);
    if (!isKept) this.#options.counters.unkept += count;
    for (let piece = first; piece < first + count; piece++) {
      if (isKept) this.#arrived[piece >> 3]! |= 1 << (piece & 7);
      else this.#recent.add(piece, bytes.subarray((piece - first) * PIECE_BYTES, (piece - first + 1) * PIECE_BYTES));
    }
  }

  #check(bytes: Buffer, start: number, expected: Buffer): void {
    const wrong = findWrongBlock(bytes, BLOCK_BYTES, this.#hashes.salt, expected);
    if (wrong < 0) return;
    this.#options.counters.wrongAnswers++;
    const { digest } = this.#options.descriptor;
    const offset = start + wrong * BLOCK_BYTES;
    throw new StkError('integrity', `${this.name}: wrong bytes came at ${offset} of ${digest}`, {
      hint: 'the registry or something on the way to it changed the bytes; nothing of them was kept',
      facts: { digest, offset },
    });
  }

  #bounds(first: number, end: number): readonly [number, number] {
    return [first * PIECE_BYTES, Math.min(end * PIECE_BYTES, this.sizeBytes)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#flights.values());
    await this.#options.parts[Symbol.asyncDispose]();
  }
}
