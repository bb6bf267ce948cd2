import path from 'node:path';
import { StkError, errnoOf } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { lstat, readdir, realpath, rmdir } from '../host/files.ts';

/** The canonical path of a directory that is mounted on: the last component as it is, the ones before it resolved. */
export async function canonicalTarget(target: AbsPath): Promise<AbsPath> {
  const parent = await realpath(path.dirname(target)).catch((cause: unknown) => {
    throw new StkError('not-found', `there is no directory ${path.dirname(target)}`, {
      cause,
      hint: `mkdir -p ${path.dirname(target)}`,
      facts: { path: target },
    });
  });
  return path.join(parent, path.basename(target)) as AbsPath;
}

/** Directories that a mount must not cover, nor lie in, with what they are to the reader of the message. */
export type ForbiddenPlaces = readonly (readonly [directory: AbsPath, what: string])[];

/**
 * Checks that a canonical path is an empty directory of its own, away from what the mount itself needs; where there is
 * nothing, one may be made. Returns whether it is there. Throws `conflict` or `invalid-input`.
 */
export async function checkTarget(target: AbsPath, forbidden: ForbiddenPlaces): Promise<boolean> {
  for (const [directory, what] of forbidden) {
    if (!isWithin(target, directory) && !isWithin(directory, target)) continue;
    throw new StkError('conflict', `cannot mount on ${target}: it overlaps ${what} ${directory}`, {
      hint: 'choose an empty directory elsewhere',
      facts: { path: target, overlaps: directory },
    });
  }
  const stat = await lstat(target).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (stat === undefined) return false;
  if (!stat.isDirectory()) {
    const what = stat.isSymbolicLink() ? 'a symlink' : 'not a directory';
    throw new StkError('invalid-input', `cannot mount on ${target}: it is ${what}`, {
      hint: stat.isSymbolicLink() ? 'name the directory itself' : 'name an empty directory',
      facts: { path: target },
    });
  }
  if ((await readdir(target)).length > 0) {
    throw new StkError('conflict', `cannot mount on ${target}: it is not empty`, {
      hint: 'a mount would hide what is in it; name an empty directory',
      facts: { path: target },
    });
  }
  return true;
}

/** Removes a target that was made for a mount, if nobody put anything into it. */
export async function removeTarget(target: AbsPath): Promise<void> {
  await rmdir(target).catch(() => {});
}

export function isWithin(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(outer === '/' ? '/' : `${outer}/`);
}
