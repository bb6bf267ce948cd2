import type { BlobReader } from '../core/blob-reader.ts';
import { tarError } from './tar-error.ts';

/** What lies between headers that are looked at need not be read. */
export interface ChunkSource extends AsyncIterable<Uint8Array> {
  /** Passes over so many of the bytes to come, or all that there are; returns how many. */
  skip?(length: number): number;
}

/** Read at once where headers are looked for. */
const PIECE_BYTES = 8192;

/** A blob from its start, read while it is asked for. */
export function blobChunks(blob: BlobReader, signal?: AbortSignal): ChunkSource {
  let at = 0;
  const pass = (length: number) => {
    const passed = Math.min(length, blob.sizeBytes - at);
    at += passed;
    return passed;
  };
  return {
    skip: pass,
    async *[Symbol.asyncIterator]() {
      while (at < blob.sizeBytes) {
        const start = at;
        yield await blob.readAt(start, pass(PIECE_BYTES), signal);
      }
    },
  };
}

/** Cuts a stream of chunks into the pieces a parser asks for, without copying where a piece lies in one chunk. */
export class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #source: ChunkSource;
  /** Bytes before the chunk. */
  #before = 0;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;
  #ended = false;

  constructor(chunks: ChunkSource) {
    this.#source = chunks;
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** How many bytes were taken or skipped. */
  get position(): number {
    return this.#before + this.#at;
  }

  /** The next `length` bytes if they lie in the current chunk; never waits. */
  takeNow(length: number): Buffer | undefined {
    if (this.#chunk.length - this.#at < length) return undefined;
    this.#at += length;
    return this.#chunk.subarray(this.#at - length, this.#at);
  }

  /** Exactly `length` bytes; `undefined` at a clean end; an end in between is `invalid-input`. */
  async take(length: number): Promise<Buffer | undefined> {
    const bytes = this.takeNow(length) ?? (await this.takeUpTo(length));
    if (bytes.length === length) return bytes;
    if (bytes.length === 0) return undefined;
    throw tarError('the archive ends in the middle of an entry');
  }

  /** As many of the next `length` bytes as there are. */
  async takeUpTo(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      const part = await this.takeSome(missing);
      if (part === undefined) break;
      parts.push(part);
      missing -= part.length;
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  /** Between 1 and `most` bytes, as many as can be had at once; `undefined` at the end. */
  async takeSome(most: number): Promise<Buffer | undefined> {
    while (this.#at >= this.#chunk.length) {
      if (this.#ended) return undefined;
      const next = await this.#chunks.next();
      this.#before += this.#chunk.length;
      if (next.done) {
        this.#ended = true;
        this.#chunk = Buffer.alloc(0);
        this.#at = 0;
        return undefined;
      }
      const { buffer, byteOffset, byteLength } = next.value;
      this.#chunk = Buffer.from(buffer, byteOffset, byteLength);
      this.#at = 0;
    }
    const length = Math.min(most, this.#chunk.length - this.#at);
    this.#at += length;
    return this.#chunk.subarray(this.#at - length, this.#at);
  }

  /** Whether there were as many bytes to pass over. */
  async skip(length: number): Promise<boolean> {
    const here = Math.min(length, this.#chunk.length - this.#at);
    this.#at += here;
    let left = length - here;
    if (left > 0 && this.#source.skip) {
      const passed = this.#source.skip(left);
      this.#before += passed;
      return passed === left;
    }
    while (left > 0) {
      const piece = await this.takeSome(left);
      if (piece === undefined) return false;
      left -= piece.length;
    }
    return true;
  }

  /** Reads to the end and throws the bytes away. */
  async drain(): Promise<void> {
    while ((await this.takeSome(Number.MAX_SAFE_INTEGER)) !== undefined);
  }

  /** Gives the stream back before its end. */
  async close(): Promise<void> {
    this.#ended = true;
    await this.#chunks.return?.();
  }
}
