import { errnoOf } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { lockFile, tryLockFile, type FileLock } from '../host/file-lock.ts';
import { mkdir } from '../host/files.ts';

/** Held by a command that uses what is in the caches below a directory, while it does; it may wait for one that prunes. */
export async function useCaches(home: AbsPath, signal: AbortSignal): Promise<FileLock> {
  await mkdir(home, { recursive: true });
  return lockFile(home, 'shared', { signal });
}

/**
 * The caches below a directory for oneself: nobody uses them, and who wants to, waits. `undefined` where somebody does, or the
 * directory is not there or not ours.
 */
export async function lockCaches(home: AbsPath): Promise<FileLock | undefined> {
  try {
    return await tryLockFile(home, 'exclusive');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}
