import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { StkError, errnoOf } from '../core/errors.ts';
import { open, rename, rm } from './files.ts';

/** Name for a temporary file beside `target`; hidden, unique, recognisable to a clean-up. */
export function temporaryName(target: string): string {
  return path.join(path.dirname(target), `.tmp-${randomBytes(8).toString('hex')}`);
}

/** Replaces a file's content so that a reader, or a crash at any moment, sees the old bytes or the new ones. */
export async function writeFileAtomic(
  target: string,
  content: string | Uint8Array,
  options: { readonly mode?: number; readonly exactMode?: number } = {},
): Promise<void> {
  const temporary = temporaryName(target);
  try {
    const file = await open(temporary, 'wx', options.mode ?? 0o644);
    try {
      // Whatever the umask says.
      if (options.exactMode !== undefined) await file.chmod(options.exactMode);
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await publishFile(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw storageError(error, target);
  }
}

/**
 * Renames a finished, synced file to its place and makes the directory entry durable. A directory that has the place is
 * `invalid-input`.
 */
export async function publishFile(temporary: string, target: string): Promise<void> {
  await rename(temporary, target).catch((cause: unknown) => {
    if (errnoOf(cause) !== 'EISDIR') throw cause;
    const hint = 'remove the directory: nothing of stk made it';
    throw new StkError('invalid-input', `${target} is a directory, not a file`, {
      cause,
      hint,
      facts: { path: target },
    });
  });
  await syncPath(path.dirname(target));
}

/** fsync(2) on a file or directory by path. */
async function syncPath(target: string): Promise<void> {
  const file = await open(target, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Turns a full disk or quota into `storage`; anything else is returned as it is. */
export function storageError(error: unknown, target: string): unknown {
  const errno = errnoOf(error);
  if (errno !== 'ENOSPC' && errno !== 'EDQUOT' && errno !== 'EROFS') return error;
  return new StkError('storage', `cannot write ${target}: ${errno}`, {
    cause: error,
    hint: 'free some disk space and try again; nothing was lost',
    facts: { path: target },
  });
}
