import { StkError, errnoOf, throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { FileHandle } from '../host/files.ts';
import { openRegularFile } from '../host/open-regular-file.ts';
import { openDigester } from '../host/thread-digester.ts';
import { assertBytes, wrongBytes } from './blob-bytes.ts';
import type { ReadOptions } from './blob-store.ts';
import type { Descriptor } from './descriptor.ts';

/** A blob that lies in a file. */
export interface BlobFile {
  /** Of the store, for messages. */
  readonly store: string;
  readonly file: AbsPath;
  readonly descriptor: Descriptor;
}

/**
 * The bytes of a blob, hashed as they go by; a wrong digest is `integrity` at the end, a wrong length at the start. No more
 * than the descriptor's size is ever read. Throws `not-found`, and `invalid-input` for what is no regular file.
 */
export async function* readBlobFile(blob: BlobFile, options: ReadOptions = {}): AsyncGenerator<Uint8Array, void> {
  const { store, descriptor } = blob;
  const { file, sizeBytes } = await openRegularFile(blob.file).catch((cause: unknown) => {
    if (errnoOf(cause) !== 'ENOENT') throw cause;
    throw new StkError('not-found', `${store} has no blob ${descriptor.digest}`, { cause });
  });
  const digester = openDigester(descriptor.size);
  try {
    if (sizeBytes !== descriptor.size) throw wrongBytes(store, descriptor, sizeBytes, undefined);
    for await (const chunk of piecesOf(file, descriptor.size)) {
      throwIfAborted(options.signal);
      const wait = digester.update(chunk);
      if (wait) await wait;
      yield chunk;
      options.onProgress?.(digester.sizeBytes);
    }
    assertBytes(store, descriptor, digester.sizeBytes, await digester.finish());
  } finally {
    digester.abandon();
    await file.close();
  }
}

/** The file's first `sizeBytes` bytes, or fewer where it ends before. */
async function* piecesOf(file: FileHandle, sizeBytes: number): AsyncGenerator<Buffer, void> {
  if (sizeBytes === 0) return;
  const settings = { autoClose: false, start: 0, end: sizeBytes - 1, highWaterMark: 1 << 20 };
  yield* file.createReadStream(settings) as AsyncIterable<Buffer>;
}
