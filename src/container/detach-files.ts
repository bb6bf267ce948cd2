import type { AbsPath } from '../core/paths.ts';
import { link, lstat, rename, unlink } from '../host/files.ts';
import { copyFiles } from '../host/tools/copy.ts';
import { pathBelow } from '../host/walk-tree.ts';
import { keepingTimes } from './directory-times.ts';

/**
 * Puts copies in the place of files that a tree shares with another one by hard links, so that their xattrs can be
 * changed. Names of one file are names of one copy; directories are left as they are.
 *
 * @param files relative to the tree, as byte strings (latin1)
 * @param scratch does not exist; on the tree's filesystem. What is left there goes with whoever made its parent
 */
export async function detachFiles(
  tree: AbsPath,
  files: readonly string[],
  scratch: AbsPath,
  signal?: AbortSignal,
): Promise<void> {
  const byInode = new Map<bigint, string[]>();
  for (const file of files) {
    const stat = await lstat(pathBelow(tree, file), { bigint: true });
    if (stat.isDirectory()) continue;
    const names = byInode.get(stat.ino);
    if (names) names.push(file);
    else byInode.set(stat.ino, [file]);
  }
  if (byInode.size === 0) return;
  const groups = [...byInode.values()];
  await copyFiles(
    tree,
    groups.map(names => names[0]!),
    scratch,
    signal,
  );
  await keepingTimes(tree, groups.flat(), async () => {
    for (const [first, ...others] of groups) {
      const copy = pathBelow(tree, first!);
      await rename(pathBelow(scratch, first!), copy);
      for (const other of others) {
        await unlink(pathBelow(tree, other));
        await link(copy, pathBelow(tree, other));
      }
    }
  });
}
