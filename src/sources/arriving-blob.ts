import { StkError, throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { storageError } from '../host/atomic-write.ts';
import { open, type FileHandle } from '../host/files.ts';
import { writeChunks } from '../host/write-chunks.ts';

const READ_BYTES = 1 << 20;

/** Writes a blob's bytes; called once, by whoever brings them. */
export type Receive = (chunks: AsyncIterable<Uint8Array>) => Promise<void>;

/**
 * A blob on its way into a file, readable from its first byte before its last is there. Readers never hold up the
 * arrival, may begin anew, and end with its failure if it fails; that the bytes are right is known when it has ended.
 */
export class ArrivingBlob implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #sizeBytes: number;
  readonly #leaving = new AbortController();
  readonly #wake = new Set<() => void>();
  #arrivedBytes = 0;
  #state: 'arriving' | 'arrived' | { readonly error: unknown } = 'arriving';
  #arrival: Promise<void> = Promise.resolve();

  private constructor(file: FileHandle, sizeBytes: number) {
    this.#file = file;
    this.#sizeBytes = sizeBytes;
  }

  /**
   * @param path the file to create; it stays the caller's, who may rename it at any time
   * @param bring runs beside the readers until it has brought all bytes; its signal fires when nobody wants them any more
   */
  static async start(
    path: AbsPath,
    sizeBytes: number,
    bring: (receive: Receive, signal: AbortSignal) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<ArrivingBlob> {
    const file = await open(path, 'wx+').catch((error: unknown) => {
      throw storageError(error, path);
    });
    const blob = new ArrivingBlob(file, sizeBytes);
    const inner = signal ? AbortSignal.any([signal, blob.#leaving.signal]) : blob.#leaving.signal;
    const receive: Receive = async chunks => {
      const onWritten = (arrivedBytes: number) => blob.#hear(() => (blob.#arrivedBytes = arrivedBytes));
      try {
        const written = await writeChunks(file, chunks, { maxBytes: sizeBytes, signal: inner, onWritten });
        if (written !== sizeBytes) throw new StkError('integrity', `a blob of ${sizeBytes} bytes has another size`);
      } catch (error) {
        throw storageError(error, path);
      }
    };
    blob.#arrival = bring(receive, inner).then(
      () => blob.#hear(() => (blob.#state = 'arrived')),
      (error: unknown) => blob.#hear(() => (blob.#state = { error })),
    );
    return blob;
  }

  /** Resolves when first bytes are there, or none are to come; throws the arrival's failure. */
  async begun(): Promise<void> {
    await this.#beyond(0);
  }

  /** Resolves when all bytes are there and right; throws the arrival's failure. */
  async arrived(): Promise<void> {
    await this.#arrival;
    if (typeof this.#state === 'object') throw this.#state.error;
  }

  /** The bytes from the first to the last, waiting for those that are not there yet. */
  async *read(signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    for (let at = 0; at < this.#sizeBytes;) {
      throwIfAborted(signal);
      await this.#beyond(at);
      const wanted = Math.min(READ_BYTES, this.#arrivedBytes - at);
      const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafe(wanted), 0, wanted, at);
      if (bytesRead === 0) throw new StkError('integrity', 'a file shrank while it was read');
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    await this.arrived();
  }

  async #beyond(at: number): Promise<void> {
    while (this.#arrivedBytes === at && this.#state === 'arriving') {
      await new Promise<void>(resolve => this.#wake.add(resolve));
    }
    if (typeof this.#state === 'object') throw this.#state.error;
  }

  #hear(change: () => void): void {
    change();
    for (const wake of this.#wake) wake();
    this.#wake.clear();
  }

  /** Ends the arrival if it still runs; no reader may be left. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#leaving.abort(new StkError('interrupted', 'nobody reads the blob any more'));
    await this.#arrival;
    await this.#file.close();
  }
}
