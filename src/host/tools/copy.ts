import { errnoOf, messageOf, throwIfAborted } from '../../core/errors.ts';
import { hostBytes } from '../../core/host-text.ts';
import type { AbsPath } from '../../core/paths.ts';
import { runTool } from '../exec.ts';
import { lstat, mkdir, readdir, rmdir, unlink } from '../files.ts';

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
  throwIfAborted(signal);
  if (await removeSmallTree(target)) return;
  await runTool('rm', ['-rf', '--one-file-system', '--', target], { signal });
}

/** A program is not worth its start for fewer: about as many names as it takes the time for. */
const FEW_NAMES = 32;

/** Removes a tree of a few names; `false` where it has more, or is not to be removed so simply: then some may be gone. */
async function removeSmallTree(root: AbsPath): Promise<boolean> {
  try {
    const stat = await lstat(root).catch(absence);
    if (!stat?.isDirectory()) return stat === undefined;
    let left = FEW_NAMES;
    const clear = async (directory: Buffer): Promise<boolean> => {
      // What is mounted in a tree is no part of it.
      if ((await lstat(directory)).dev !== stat.dev) return false;
      const entries = await readdir(directory, { withFileTypes: true, encoding: 'buffer' });
      left -= entries.length;
      if (left < 0) return false;
      for (const entry of entries) {
        const child = Buffer.concat([directory, Buffer.from('/'), entry.name]);
        if (!entry.isDirectory()) await unlink(child);
        else if (!(await clear(child))) return false;
      }
      await rmdir(directory);
      return true;
    };
    return await clear(hostBytes(root));
  } catch {
    // rm(1) may know better, or says why not.
    return false;
  }
}

function absence(error: unknown): undefined {
  if (errnoOf(error) !== 'ENOENT') throw error;
}
