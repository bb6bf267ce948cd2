import { Digester, type Digest } from '../core/digest.ts';
import { errnoOf, throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { constants, open, type FileHandle } from './files.ts';

/**
 * Reads a file without leaving the time of access, by which caches tell what is still used, where the kernel lets us: for files
 * of our own. Throws the system's errors; a FIFO is not waited for.
 */
export async function readUnnoticed(file: AbsPath): Promise<string> {
  await using handle = await openUnnoticed(file);
  return await handle.readFile('utf8');
}

/** The digest of a file; as `readUnnoticed`. */
export async function digestUnnoticed(file: AbsPath, signal?: AbortSignal): Promise<Digest> {
  await using handle = await openUnnoticed(file);
  const digester = new Digester();
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  for (;;) {
    throwIfAborted(signal);
    const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength);
    if (bytesRead === 0) return digester.finish();
    digester.update(buffer.subarray(0, bytesRead));
  }
}

async function openUnnoticed(file: AbsPath): Promise<FileHandle> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    return await open(file, flags | constants.O_NOATIME);
  } catch (error) {
    if (errnoOf(error) !== 'EPERM') throw error;
    return open(file, flags);
  }
}
