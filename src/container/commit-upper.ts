import path from 'node:path';
import { AsyncScope } from '../core/async-scope.ts';
import { StkError, errnoOf, messageOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { unlink } from '../host/files.ts';
import { makeLockedDir, sweepUnlocked } from '../host/locked-dir.ts';
import { readMountTable } from '../host/mount-table.ts';
import { linkTree, removeTree } from '../host/tools/copy.ts';
import { ACL_XATTRS } from '../layer/host-acl.ts';
import { OPAQUE_VALUE } from '../layer/overlay-xattrs.ts';
import { OPAQUE_XATTR } from '../squashfs/overlay.ts';
import { readTreeXattrs, removeXattrs, setXattrs } from '../host/tree-xattrs.ts';
import { pathBelow } from '../host/walk-tree.ts';
import { isWithin } from '../mount/mount-target.ts';
import { detachFiles } from './detach-files.ts';
import { keepingTimes } from './directory-times.ts';

const PREFIX = '.stk-commit';
/** What overlays note for themselves, and ACLs. */
const MARKS = new RegExp(`^(?:(?:user|trusted)\\.overlay|user\\.(?:fuseoverlayfs|containers))\\.|${ACL_XATTRS.source}`);
const FUSE_OPAQUE = 'user.fuseoverlayfs.opaque';
/** fuse-overlayfs keeps owners and modes here where it could not set them. */
const FUSE_OVERRIDE = /^user\.(?:fuseoverlayfs\.override_stat|containers\.override_stat)$/;
/** Names by which fuse-overlayfs says "opaque" besides the xattr; it never shows them. */
const FUSE_OPAQUE_NAMES = ['.wh..wh..opq', '.wh..opq'] as const;

/**
 * A tree of hard links to an upper directory, in the kernel's own form, which may be packed without changing the upper:
 * packing takes overlays' own xattrs and ACLs off, and files that have some are copied. It lies beside the upper and goes when
 * disposed. The upper must be at rest for as long. Throws `unsupported` for an upper that does not hold its own owners, `missing-capability` where files belong to
 * others, `conflict` where something is mounted there.
 */
export async function snapshotUpper(
  upper: AbsPath,
  signal?: AbortSignal,
): Promise<AsyncDisposable & { readonly path: AbsPath }> {
  const mounted = (await readMountTable()).find(({ target }) => isWithin(target, upper));
  if (mounted) throw mountPoint(upper);
  const parent = path.dirname(upper);
  await sweepUnlocked(parent, [PREFIX], directory => removeTree(directory));
  const scope = new AsyncScope();
  try {
    const directory = scope.use(await makeLockedDir(parent, PREFIX, signal)).path;
    scope.defer(() => removeTree(directory));
    const snapshot = joinInside(directory, 'upper');
    try {
      await linkTree(upper, snapshot, signal);
      const marks = await readMarks(snapshot, signal);
      await detachFiles(snapshot, marks.files, joinInside(directory, 'copies'), signal);
      await translateFuseMarks(snapshot, marks);
    } catch (cause) {
      throw unreadable(upper, cause);
    }
    return { path: snapshot, [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() };
  } catch (error) {
    await scope[Symbol.asyncDispose]();
    throw error;
  }
}

interface Marks {
  /** What has an xattr that is no part of a layer. */
  readonly files: readonly string[];
  /** What has one of fuse-overlayfs's, by its name. */
  readonly fuse: ReadonlyMap<string, readonly string[]>;
  /** Directories that are opaque for fuse-overlayfs. */
  readonly opaque: readonly string[];
}

/** Paths are relative to the tree, as byte strings (latin1). */
async function readMarks(tree: AbsPath, signal: AbortSignal | undefined): Promise<Marks> {
  const files: string[] = [];
  const fuse = new Map<string, string[]>();
  const opaque: string[] = [];
  for await (const { path: file, xattrs } of readTreeXattrs(tree, MARKS, signal)) {
    files.push(file);
    for (const [name, value] of xattrs) {
      if (FUSE_OVERRIDE.test(name)) {
        throw new StkError(
          'unsupported',
          `a file of the upper directory has its owner and mode in an xattr (${name})`,
          {
            hint: 'fuse-overlayfs wrote it with xattr_permissions; commit it with the engine that started it',
          },
        );
      }
      if (!name.startsWith('user.fuseoverlayfs.')) continue;
      if (name === FUSE_OPAQUE && value.equals(OPAQUE_VALUE)) opaque.push(file);
      const paths = fuse.get(name);
      if (paths) paths.push(file);
      else fuse.set(name, [file]);
    }
  }
  return { files, fuse, opaque };
}

/** Turns what fuse-overlayfs notes for itself into what the kernel's overlay reads. */
async function translateFuseMarks(tree: AbsPath, { fuse, opaque }: Marks): Promise<void> {
  setXattrs(tree, OPAQUE_XATTR, OPAQUE_VALUE, opaque);
  const names = opaque.flatMap(directory => FUSE_OPAQUE_NAMES.map(name => `${directory}/${name}`));
  await keepingTimes(tree, names, async () => {
    for (const name of names) await removeFile(tree, name);
  });
  for (const [name, paths] of fuse) removeXattrs(tree, name, paths);
}

/** @param file relative to the tree, a byte string (latin1) */
async function removeFile(tree: AbsPath, file: string): Promise<void> {
  await unlink(pathBelow(tree, file)).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR') throw error;
  });
}

function unreadable(upper: AbsPath, cause: unknown): unknown {
  if (/cross-device link|into itself/i.test(messageOf(cause))) {
    return mountPoint(upper, cause);
  }
  if (!/permission denied|not permitted|invalid argument/i.test(messageOf(cause))) return cause;
  return new StkError('missing-capability', `${upper} cannot be read as a whole: ${messageOf(cause)}`, {
    cause,
    hint: 'its files belong to others: run the command as whoever ran the container, or as root',
    facts: { path: upper },
  });
}

function mountPoint(upper: AbsPath, cause?: unknown): StkError {
  return new StkError('conflict', `${upper} is a mount point, or has one in it`, {
    cause,
    hint: 'name the upper directory itself, and unmount what is mounted below it',
    facts: { path: upper },
  });
}
