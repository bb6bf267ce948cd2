import { mkdir, rmdir } from '../host/files.ts';
import path from 'node:path';

/** What the operating system refused, as Node reports it. */
export interface SystemError extends Error {
  readonly code: string;
  readonly syscall: string;
}

/**
 * Node's recursive mkdir(2) says that a directory is missing where the truth is that none can be made: asks the nearest one
 * that is there. Any other error is returned as it is.
 */
export async function clarify(caught: unknown): Promise<unknown> {
  if (!isSystemError(caught) || caught.code !== 'ENOENT' || caught.syscall !== 'mkdir') return caught;
  const wanted = 'path' in caught && typeof caught.path === 'string' ? caught.path : undefined;
  for (let place = wanted; place !== undefined && place !== path.dirname(place); place = path.dirname(place)) {
    const made = await mkdir(place).then(
      () => true,
      (reason: unknown) => reason,
    );
    if (made === true) await rmdir(place).catch(() => {});
    else if (isSystemError(made) && made.code === 'ENOENT') continue;
    return made === true || (isSystemError(made) && made.code === 'EEXIST') ? caught : made;
  }
  return caught;
}

/** Whether an error came from a system call: the world's doing (permissions, a full disk, a missing file), no bug. */
export function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string';
}
