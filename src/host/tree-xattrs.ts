import { hostBytes } from '../core/host-text.ts';
import type { AbsPath } from '../core/paths.ts';
import { lstat } from './files.ts';
import { failedWith } from './syscalls/failure.ts';
import { getXattr, listXattrs, removeXattr, setXattr } from './syscalls/xattr.ts';
import { pathBelow, walkTree } from './walk-tree.ts';

/** Extended attributes of one file; the path is relative to the root that was asked for, and a byte string (latin1). */
export interface FileXattrs {
  /** `.` is the root itself. */
  readonly path: string;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/**
 * Reads the xattrs of a tree, or of a file, its root's as well, without following symlinks: only files that have some whose name matches.
 *
 * @param names without flags that have it remember a place
 */
export async function* readTreeXattrs(
  root: AbsPath,
  names: RegExp,
  signal?: AbortSignal,
): AsyncGenerator<FileXattrs, void> {
  const ofRoot = matchingXattrs(pathBelow(root, ''), names);
  if (ofRoot) yield { path: '.', xattrs: ofRoot };
  if (!(await lstat(root)).isDirectory()) return;
  for await (const entries of walkTree(root, signal)) {
    for (const { path } of entries) {
      const xattrs = matchingXattrs(pathBelow(root, path), names);
      if (xattrs) yield { path, xattrs };
    }
  }
}

function matchingXattrs(file: Buffer, names: RegExp): ReadonlyMap<string, Buffer> | undefined {
  let found: Map<string, Buffer> | undefined;
  for (const name of listXattrs(file)) {
    if (!names.test(name)) continue;
    const value = getXattr(file, name);
    if (value) (found ??= new Map()).set(name, value);
  }
  return found;
}

/** One xattr of one file; `undefined` where it has none of this name that can be read. A symlink is not followed. */
export function readXattr(path: AbsPath, name: string): Buffer | undefined {
  try {
    return getXattr(hostBytes(path), name);
  } catch (error) {
    if (failedWith(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'EPERM')) return undefined;
    throw error;
  }
}

/**
 * Removes one xattr from many files, by paths relative to `root`; symlinks are not followed. One that has none is no error:
 * hard links share theirs.
 */
export function removeXattrs(root: AbsPath, name: string, paths: readonly string[]): void {
  for (const path of paths) removeXattr(pathBelow(root, path), name);
}

/** Sets one xattr of many files to the same bytes. */
export function setXattrs(root: AbsPath, name: string, value: Uint8Array, paths: readonly string[]): void {
  for (const path of paths) setXattr(pathBelow(root, path), name, value);
}
