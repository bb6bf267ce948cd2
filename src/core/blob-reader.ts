import { StkError } from './errors.ts';

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

/** A `BlobReader` over bytes in memory. */
export function bufferReader(bytes: Uint8Array, name = 'buffer'): BlobReader {
  const reader: BlobReader = {
    sizeBytes: bytes.byteLength,
    name,
    async readAt(offset, length) {
      assertInsideBlob(reader, offset, length);
      return Buffer.from(bytes.subarray(offset, offset + length));
    },
    async [Symbol.asyncDispose]() {},
  };
  return reader;
}

/** Throws `invalid-input` unless the range lies inside the blob: the check that every reader makes first. */
export function assertInsideBlob(reader: BlobReader, offset: number, length: number): void {
  const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!valid || offset + length > reader.sizeBytes) {
    throw new StkError('invalid-input', `${reader.name}: read of ${length} bytes at ${offset} is outside the blob`, {
      facts: { offset, length, sizeBytes: reader.sizeBytes },
    });
  }
}
