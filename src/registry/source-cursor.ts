import { Digester } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';

/** Reads a blob's source piece by piece from the beginning, hashing all of it unless the source does so itself. */
export class SourceCursor implements AsyncDisposable {
  readonly #descriptor: Descriptor;
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #digester: Digester | undefined;
  #readBytes = 0;
  #rest: Uint8Array | undefined;
  #position = 0;

  /** @param verified see `PutOptions.verified` */
  constructor(descriptor: Descriptor, source: () => AsyncIterable<Uint8Array>, verified = false) {
    this.#descriptor = descriptor;
    this.#digester = verified ? undefined : new Digester();
    this.#iterator = source()[Symbol.asyncIterator]();
  }

  /** The next byte that `take` yields. */
  get position(): number {
    return this.#position;
  }

  /** The bytes up to before `end`, at most the blob's size. Throws `integrity` if the source ends before. */
  async *take(end: number): AsyncGenerator<Uint8Array, void, undefined> {
    while (this.#position < end) {
      const chunk = this.#rest ?? (await this.#next());
      if (!chunk) throw this.#mismatch();
      const wanted = end - this.#position;
      const piece = chunk.byteLength > wanted ? chunk.subarray(0, wanted) : chunk;
      this.#rest = chunk.byteLength > wanted ? chunk.subarray(wanted) : undefined;
      this.#position += piece.byteLength;
      yield piece;
    }
  }

  async skipTo(position: number): Promise<void> {
    const pieces = this.take(position);
    while (!(await pieces.next()).done);
  }

  /** After everything was taken: throws `integrity` unless the source had exactly the blob's bytes. */
  async verify(): Promise<void> {
    if (this.#rest !== undefined || (await this.#next())) throw this.#mismatch();
    const isRight = this.#digester === undefined || this.#digester.finish() === this.#descriptor.digest;
    if (!isRight || this.#readBytes !== this.#descriptor.size) throw this.#mismatch();
  }

  async #next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const { done, value } = await this.#iterator.next();
      if (done === true) return undefined;
      if (value.byteLength === 0) continue;
      this.#digester?.update(value);
      this.#readBytes += value.byteLength;
      return value;
    }
  }

  #mismatch(): StkError {
    const { digest, size } = this.#descriptor;
    return new StkError('integrity', `the bytes to store do not match ${digest} of ${size} bytes`, {
      facts: { digest, sizeBytes: size, foundBytes: this.#readBytes },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#iterator.return?.();
  }
}
