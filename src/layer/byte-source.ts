import { tarError } from './tar-error.ts';

/** Cuts a stream of chunks into the pieces a parser asks for, without copying where a piece lies in one chunk. */
export class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;
  #ended = false;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
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
