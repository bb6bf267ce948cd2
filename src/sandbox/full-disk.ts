import { StkError, type ErrorFacts } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { statfs } from '../host/files.ts';

/** Less than this is nothing: a program that fails for want of space may have taken back what it wrote last. */
const LEAST_BYTES = 1024 * 1024;
/** An overlay makes more than one for a file. */
const LEAST_FILES = 16;

export interface FailedStep {
  /** Of the step's own files, on the disk that it wrote to. */
  readonly directory: AbsPath;
  /** Whose space counts: real root may use what is reserved for it (statfs(2), `f_bavail`). */
  readonly rootless: boolean;
  /** What failed, for the message. */
  readonly what: string;
  readonly facts: ErrorFacts;
}

/**
 * The reason why a step failed where it is that the disk is full, in files or in bytes: whatever the program said of it.
 * To be asked before the step's files are removed. `undefined` where there is room.
 */
export async function fullDiskError({ directory, rootless, what, facts }: FailedStep): Promise<StkError | undefined> {
  const found = await statfs(directory).catch(() => undefined);
  if (!found) return undefined;
  const freeBytes = (rootless ? found.bavail : found.bfree) * found.bsize;
  // Filesystems without a fixed number of files say 0 of both.
  const hasFiles = found.files === 0 || found.ffree >= LEAST_FILES;
  if (freeBytes >= LEAST_BYTES && hasFiles) return undefined;
  const lack = hasFiles ? 'space' : 'room for more files';
  return new StkError('storage', `${what}: there is no ${lack} left in ${directory}`, {
    hint: 'free some, or name a directory on another disk: --stk-dir DIR',
    facts: { ...facts, path: directory, freeBytes },
  });
}
