import { open, type FileHandle } from 'node:fs/promises';
import { StkError, errnoOf } from '../core/errors.ts';

/** Random access to one immutable blob, local or remote. Safe for concurrent calls. */
export interface BlobReader extends AsyncDisposable {
  readonly sizeBytes: number;
  /** For messages: a path or a digest. */
  readonly name: string;
  /**
   * Exactly `length` bytes from `offset`; reading past the end is `invalid-input`, a short file `integrity`.
   * The returned buffer belongs to the caller.
   */
  readAt(offset: number, length: number, signal?: AbortSignal): Promise<Buffer>;
}

/** A `BlobReader` over a local file. */
export async function openFileReader(path: string): Promise<BlobReader> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') throw new StkError('not-found', `no such blob: ${path}`, { cause: error });
    throw error;
  });
  const { size } = await file.stat();
  return new FileReader(file, path, size);
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

  async readAt(offset: number, length: number): Promise<Buffer> {
    assertInside(this, offset, length);
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

/** A `BlobReader` over bytes in memory. */
export function bufferReader(bytes: Uint8Array, name = 'buffer'): BlobReader {
  const reader: BlobReader = {
    sizeBytes: bytes.byteLength,
    name,
    async readAt(offset, length) {
      assertInside(reader, offset, length);
      return Buffer.from(bytes.subarray(offset, offset + length));
    },
    async [Symbol.asyncDispose]() {},
  };
  return reader;
}

function assertInside(reader: BlobReader, offset: number, length: number): void {
  const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!valid || offset + length > reader.sizeBytes) {
    throw new StkError('invalid-input', `${reader.name}: read of ${length} bytes at ${offset} is outside the blob`, {
      facts: { offset, length, sizeBytes: reader.sizeBytes },
    });
  }
}
