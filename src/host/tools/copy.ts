import { messageOf } from '../../core/errors.ts';
import type { AbsPath } from '../../core/paths.ts';
import { runTool } from '../exec.ts';
import { mkdir } from '../files.ts';

/**
 * Copies a file or a directory tree natively, sharing extents where the filesystem can, keeping modes, times, links,
 * holes and xattrs, but no owners. A symlink given as the source itself is followed. `target` must not exist.
 */
export async function copyTree(source: AbsPath, target: AbsPath, signal?: AbortSignal): Promise<void> {
  const keep = '--preserve=mode,timestamps,links,xattr';
  await runTool('cp', ['--recursive', '--no-dereference', '-H', keep, '--reflink=auto', '-T', '--', source, target], {
    signal,
  });
}

/** As `copyTree`, owners included; needs the right to give files away. */
export async function copyTreeWithOwners(source: AbsPath, target: AbsPath, signal?: AbortSignal): Promise<void> {
  await runTool('cp', ['--archive', '--reflink=auto', '-T', '--', source, target], { signal });
}

/**
 * Makes a second tree of directories whose files are hard links to those of the first, owners and xattrs of directories
 * kept. Files with more links than the filesystem takes are copied, with all others. `target` must not exist; it must be
 * on the same mount.
 */
export async function linkTree(source: AbsPath, target: AbsPath, signal?: AbortSignal): Promise<void> {
  const keep = ['--recursive', '--no-dereference', '--preserve=mode,ownership,timestamps,links,xattr'];
  try {
    await runTool('cp', [...keep, '--link', '-T', '--', source, target], { signal });
  } catch (error) {
    if (!/too many links/i.test(messageOf(error))) throw error;
    await removeTree(target, signal);
    await runTool('cp', [...keep, '--reflink=auto', '-T', '--', source, target], { signal });
  }
}

/**
 * Copies single files of a tree, owners and xattrs kept, under their paths into a directory that is made for them.
 * Symlinks and special files are copied as such.
 *
 * @param files relative to `root`, as byte strings (latin1)
 */
export async function copyFiles(
  root: AbsPath,
  files: readonly string[],
  target: AbsPath,
  signal?: AbortSignal,
): Promise<void> {
  await mkdir(target, { mode: 0o700 });
  const keep = ['--recursive', '--no-dereference', '--preserve=mode,ownership,timestamps,xattr', '--reflink=auto'];
  // Through stdin, because arguments cannot hold bytes that are no UTF-8.
  const input = Buffer.from(files.map(file => `./${file}\0`).join(''), 'latin1');
  const args = ['--null', '--no-run-if-empty', 'cp', ...keep, '--parents', `--target-directory=${target}`, '--'];
  await runTool('xargs', args, { cwd: root, input, signal });
}

/** Removes a tree whatever the modes of its directories; nothing to remove is no error. */
export async function removeTree(target: AbsPath, signal?: AbortSignal): Promise<void> {
  await runTool('rm', ['-rf', '--one-file-system', '--', target], { signal });
}
