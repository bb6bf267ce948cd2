import type { BlobReader } from '../core/blob-reader.ts';
import { throwIfAborted } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { openFileReader } from '../host/file-reader.ts';
import { createReadStream, open, stat } from '../host/files.ts';
import { makeTempDir } from '../host/temp-dir.ts';
import { storageError } from '../host/atomic-write.ts';
import { unlessAborted } from '../core/unless-aborted.ts';

/**
 * Bytes as a file without a name, to be read out of order; nothing is left behind however this process ends. The reader is
 * the caller's. Errors of `bytes` and of the disk pass as they are.
 * @param scratch a directory with room for all of it; made if it is not there
 */
export async function unnamedCopy(
  bytes: AsyncIterable<Uint8Array>,
  name: string,
  scratch: AbsPath,
): Promise<BlobReader> {
  await using directory = await makeTempDir(scratch, 'archive');
  const file = await open(joinInside(directory.path, 'copy'), 'wx+', 0o600);
  try {
    await directory[Symbol.asyncDispose]();
    for await (const piece of bytes) await file.writeFile(piece);
    const copy = await openFileReader(`/proc/self/fd/${file.fd}`);
    return {
      name,
      sizeBytes: copy.sizeBytes,
      readAt: (offset, length, signal) => copy.readAt(offset, length, signal),
      [Symbol.asyncDispose]: () => copy[Symbol.asyncDispose](),
    };
  } finally {
    await file.close();
  }
}

/**
 * A copy of what comes out of a pipe or another file that can be read but once; `undefined` for every other. Throws `storage`
 * for a full disk.
 */
export async function copyOfPipe(
  file: AbsPath,
  scratch: AbsPath,
  signal?: AbortSignal,
): Promise<BlobReader | undefined> {
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFIFO() && !found?.isSocket()) return undefined;
  const work = unnamedCopy(streamed(file, signal), file, scratch).catch((cause: unknown) => {
    throw storageError(cause, scratch);
  });
  return signal ? unlessAborted(work, signal) : work;
}

async function* streamed(file: AbsPath, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void> {
  for await (const piece of createReadStream(file)) {
    throwIfAborted(signal);
    yield piece as Uint8Array;
  }
}
