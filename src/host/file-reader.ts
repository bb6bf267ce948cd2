import { assertInsideBlob, type BlobReader } from '../core/blob-reader.ts';
import { StkError, errnoOf, throwIfAborted } from '../core/errors.ts';
import type { FileHandle } from './files.ts';
import { openRegularFile } from './open-regular-file.ts';

/** A `BlobReader` over a local file. Throws `not-found` where there is none, and as `openRegularFile` does. */
export async function openFileReader(path: string): Promise<BlobReader> {
  const { file, sizeBytes } = await openRegularFile(path).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') throw new StkError('not-found', `no such blob: ${path}`, { cause: error });
    throw error;
  });
  return new FileReader(file, path, sizeBytes);
}

class FileReader implements BlobReader {
  readonly sizeBytes: number;
  readonly name: string;
  readonly #file: FileHandle;
  #closed = false;

  constructor(file: FileHandle, name: string, sizeBytes: number) {
    this.#file = file;
    this.name = name;
    this.sizeBytes = sizeBytes;
  }

  async readAt(offset: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    assertInsideBlob(this, offset, length);
    throwIfAborted(signal);
    const buffer = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.#file.read(buffer, done, length - done, offset + done);
      if (bytesRead === 0) throw new StkError('integrity', `${this.name} ended early at byte ${offset + done}`);
      done += bytesRead;
    }
    return buffer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close();
  }
}
