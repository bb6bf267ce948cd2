import path from 'node:path';
import type { AbsPath } from '../core/paths.ts';
import { lstat, utimes } from '../host/files.ts';
import { pathBelow } from '../host/walk-tree.ts';

const NS_PER_SECOND = 1_000_000_000n;

/**
 * Adds or removes names in directories whose times stay as they were, to the second, as a layer holds them.
 *
 * @param files what `change` adds or removes, relative to `tree`, as byte strings (latin1)
 */
export async function keepingTimes(
  tree: AbsPath,
  files: readonly string[],
  change: () => Promise<void>,
): Promise<void> {
  const directories = new Set(files.map(file => path.posix.dirname(file)));
  const times: { directory: Buffer; atime: number; mtime: number }[] = [];
  for (const name of directories) {
    const directory = pathBelow(tree, name);
    const { atimeNs, mtimeNs } = await lstat(directory, { bigint: true });
    times.push({ directory, atime: seconds(atimeNs), mtime: seconds(mtimeNs) });
  }
  await change();
  for (const { directory, atime, mtime } of times) await utimes(directory, atime, mtime);
}

/** Rounded down, before the epoch as well. */
function seconds(ns: bigint): number {
  return Number((ns - (((ns % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND)) / NS_PER_SECOND);
}
