import path from 'node:path';
import { errnoOf, throwIfAborted } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { tryLockFile, type FileLock } from './file-lock.ts';
import { lstat, mkdir, mkdtemp, readdir, rmdir } from './files.ts';
import { disinherit } from './usual-settings.ts';

/** Directories that are tried at once: each takes a process for a moment. */
const PARALLEL_LOCKS = 4;

/**
 * Makes a directory `PREFIX-XXXXXX` that only this user can enter, and holds its lock, so that `sweepUnlocked` leaves it
 * alone until the lock is disposed or this process dies. Disposing does not remove the directory: remove it first. The
 * parent is made where it is missing.
 */
export async function makeLockedDir(parent: string, prefix: string, signal?: AbortSignal): Promise<FileLock> {
  await mkdir(parent, { recursive: true });
  for (;;) {
    throwIfAborted(signal);
    const directory = (await mkdtemp(path.join(parent, `${prefix}-`))) as AbsPath;
    await disinherit(directory, 0o700).catch(ignoreAbsence);
    const lock = await tryLockFile(directory, 'exclusive').catch(async (error: unknown) => {
      await rmdir(directory).catch(() => {});
      if (errnoOf(error) !== 'ENOENT') throw error;
    });
    // Until it is locked, a sweep may take it for one that was left behind.
    if (lock && (await stands(directory))) return lock;
    await lock?.[Symbol.asyncDispose]();
    await rmdir(directory).catch(() => {});
  }
}

/**
 * Clears what died holding: this user's directories `PREFIX-XXXXXX` whose lock is free. It is held during `clear`, which
 * removes the directory. A parent that is missing holds none.
 */
export async function sweepUnlocked(
  parent: string,
  prefixes: readonly string[],
  clear: (directory: AbsPath) => Promise<void>,
): Promise<void> {
  const names = await readdir(parent).catch(ignoreAbsence);
  const own = names.filter(name => prefixes.some(prefix => isMadeName(name, prefix)));
  await mapLimited(own, PARALLEL_LOCKS, async name => {
    const directory = joinInside(parent, name);
    const stat = await lstat(directory).catch(() => undefined);
    // Beside an upper directory, others may have made what has such a name.
    if (!stat?.isDirectory() || stat.uid !== process.getuid?.()) return;
    await using lock = await tryLockFile(directory, 'exclusive').catch(() => undefined);
    if (lock && (await stands(directory))) await clear(directory);
  });
}

/** As mkdtemp(3) makes them; anything else somebody has named. */
function isMadeName(name: string, prefix: string): boolean {
  return name.startsWith(`${prefix}-`) && /^[A-Za-z0-9]{6}$/.test(name.slice(prefix.length + 1));
}

async function stands(directory: AbsPath): Promise<boolean> {
  return (await lstat(directory).catch(() => undefined)) !== undefined;
}

function ignoreAbsence(error: unknown): [] {
  if (errnoOf(error) === 'ENOENT') return [];
  throw error;
}
