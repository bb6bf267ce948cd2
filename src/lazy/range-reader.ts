import { assertInsideBlob, type BlobReader } from '../core/blob-reader.ts';
import type { RangeOptions } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';

/** What a reader needs of a store; see `RegistryStore.readBlobRange`. */
export interface RangeSource {
  readonly name: string;
  readBlobRange(descriptor: Descriptor, offset: number, length: number, options?: RangeOptions): Promise<Buffer>;
}

/** What is fetched at least. */
const CHUNK_BYTES = 16 * 1024;
/** 4 MiB are kept. */
const MAX_CHUNKS = 256;
/** What is fetched ahead at most. */
const MAX_AHEAD_CHUNKS = 64;
/** Blobs of no more than this come as a whole. */
const SMALL_BLOB_CHUNKS = 4;
/** Places where sequential reading may go on. */
const MAX_RUNS = 16;

/**
 * A blob of a registry, read by ranges of whole 16 KiB; the last ones are remembered. Whoever reads on where a fetch ended
 * gets twice as much in the next one, up to 1 MiB: few bytes for a look at one place, few requests for a whole table. Small blobs
 * come in one piece.
 * **Not verified**: put `openVerified` on top.
 */
export class RangeReader implements BlobReader {
  readonly sizeBytes: number;
  readonly name: string;
  readonly #source: RangeSource;
  readonly #descriptor: Descriptor;
  /** In the order of use. */
  readonly #chunks = new Map<number, Promise<Buffer>>();
  /** Chunk after a fetch, and how many that fetched; in the order of fetching. */
  readonly #runs = new Map<number, number>();

  constructor(source: RangeSource, descriptor: Descriptor) {
    this.#source = source;
    this.#descriptor = descriptor;
    this.sizeBytes = descriptor.size;
    this.name = `${source.name}@${descriptor.digest}`;
  }

  async readAt(offset: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    assertInsideBlob(this, offset, length);
    if (length === 0) return Buffer.alloc(0);
    const first = Math.floor(offset / CHUNK_BYTES);
    const last = Math.floor((offset + length - 1) / CHUNK_BYTES);
    // Large pieces would push everything out that is worth remembering.
    if (last - first >= MAX_CHUNKS / 4) return this.#fetch(offset, length, signal);
    this.#load(first, last, signal);
    const parts: Buffer[] = [];
    for (let index = first; index <= last; index++) {
      const start = index * CHUNK_BYTES;
      const chunk = await this.#chunk(index, signal);
      parts.push(chunk.subarray(Math.max(0, offset - start), Math.min(chunk.length, offset + length - start)));
    }
    return parts.length === 1 ? Buffer.from(parts[0]!) : Buffer.concat(parts);
  }

  /** Fetches what is missing between two chunks, neighbours in one request. */
  #load(first: number, last: number, signal: AbortSignal | undefined): void {
    for (let index = first; index <= last; index++) {
      if (this.#chunks.has(index)) continue;
      let end = index + 1;
      while (end <= last && !this.#chunks.has(end)) end++;
      end = this.#ahead(index, end);
      const start = index * CHUNK_BYTES;
      const read = this.#fetch(start, Math.min(end * CHUNK_BYTES, this.sizeBytes) - start, signal);
      for (let at = index; at < end; at++) {
        const from = (at - index) * CHUNK_BYTES;
        const chunk = read.then(bytes => bytes.subarray(from, from + CHUNK_BYTES));
        chunk.catch(() => this.#chunks.delete(at));
        this.#chunks.set(at, chunk);
      }
      index = end - 1;
    }
    while (this.#chunks.size > MAX_CHUNKS) this.#chunks.delete(this.#chunks.keys().next().value!);
  }

  /** Where a fetch from `index` ends that has to reach `end`. */
  #ahead(index: number, end: number): number {
    const count = Math.ceil(this.sizeBytes / CHUNK_BYTES);
    const before = this.#runs.get(index) ?? 0;
    this.#runs.delete(index);
    const wanted = count <= SMALL_BLOB_CHUNKS ? count : Math.min(2 * before, MAX_AHEAD_CHUNKS);
    const limit = Math.min(index + wanted, count);
    let reached = end;
    while (reached < limit && !this.#chunks.has(reached)) reached++;
    this.#runs.set(reached, reached - index);
    if (this.#runs.size > MAX_RUNS) this.#runs.delete(this.#runs.keys().next().value!);
    return reached;
  }

  /** A chunk that was asked for; what another caller's signal ended is read again. */
  async #chunk(index: number, signal: AbortSignal | undefined): Promise<Buffer> {
    const known = this.#chunks.get(index);
    if (known) {
      this.#chunks.delete(index);
      this.#chunks.set(index, known);
      try {
        return await known;
      } catch (error) {
        this.#chunks.delete(index);
        if (signal?.aborted || !isInterrupted(error)) throw error;
      }
    }
    const start = index * CHUNK_BYTES;
    return this.#fetch(start, Math.min(CHUNK_BYTES, this.sizeBytes - start), signal);
  }

  #fetch(offset: number, length: number, signal: AbortSignal | undefined): Promise<Buffer> {
    return this.#source.readBlobRange(this.#descriptor, offset, length, signal ? { signal } : {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#chunks.clear();
  }
}

function isInterrupted(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'interrupted';
}
