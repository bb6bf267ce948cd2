import { StkError, errnoOf } from '../core/errors.ts';
import { imagePath, joinInside, type AbsPath } from '../core/paths.ts';
import { lstat } from '../host/files.ts';
import { removeTree } from '../host/tools/copy.ts';
import { readTreeXattrs, removeXattrs, setXattrs } from '../host/tree-xattrs.ts';
import { ACL_XATTRS, AclFiles } from './host-acl.ts';
import type { LowerTree } from './lower-tree.ts';
import { OPAQUE_VALUE } from './overlay-xattrs.ts';
import { OPAQUE_XATTR } from '../squashfs/overlay.ts';
import { shownPath } from './tar-error.ts';

const TRUSTED_OPAQUE_XATTR = 'trusted.overlay.opaque';
const UNWANTED_XATTRS = new RegExp(`^(?:user|trusted)\\.overlay\\.|${ACL_XATTRS.source}`);
/** With these a file's name or content is elsewhere (redirect_dir, metacopy); `userxattr` mounts never make them. */
const INCOMPLETE = /^(?:user|trusted)\.overlay\.(?:redirect|metacopy)$/;

/**
 * Takes out of an overlay's upper directory what does not belong into a layer: overlayfs's own xattrs, POSIX ACLs, in whose
 * place permission bits say the same, and opaque marks where nothing lies below. The kernel marks every directory that is made as opaque, and such a mark would hide the files
 * of a neighbour once the layer is applied beside another.
 *
 * @returns files whose ACL said more than permission bits can, relative to `upper`, as byte strings (latin1)
 */
export async function cleanUpper(
  upper: AbsPath,
  lower: LowerTree,
  signal?: AbortSignal,
): Promise<{ readonly lostAcls: readonly string[] }> {
  const acls = new AclFiles();
  const byName = new Map<string, string[]>();
  const opaque: string[] = [];
  for await (const file of readTreeXattrs(upper, UNWANTED_XATTRS, signal)) {
    const { path, xattrs } = file;
    acls.note(file);
    for (const [name, value] of xattrs) {
      if (ACL_XATTRS.test(name)) continue;
      if (INCOMPLETE.test(name)) {
        throw new StkError('unsupported', `${shownPath(path)} is a reference into a lower layer (${name})`, {
          hint: 'the overlay was mounted with redirect_dir or metacopy; mount it with userxattr alone',
        });
      }
      if ((name === OPAQUE_XATTR || name === TRUSTED_OPAQUE_XATTR) && value.equals(OPAQUE_VALUE)) opaque.push(path);
      const paths = byName.get(name);
      if (paths) paths.push(path);
      else byName.set(name, [path]);
    }
  }
  const kept = await meaningfulMarks(opaque, lower);
  for (const [name, paths] of byName) {
    const unwanted = name === OPAQUE_XATTR ? paths.filter(path => !kept.has(path)) : paths;
    removeXattrs(upper, name, unwanted);
  }
  const marked = new Set(byName.get(OPAQUE_XATTR));
  const unmarked = [...kept].filter(path => !marked.has(path));
  setXattrs(upper, OPAQUE_XATTR, OPAQUE_VALUE, unmarked);
  await acls.drop(upper);
  return { lostAcls: acls.lost };
}

/** Opaque directories that hide something: those that the lower layers have as directories too. */
async function meaningfulMarks(paths: readonly string[], lower: LowerTree): Promise<Set<string>> {
  const kept = new Set<string>();
  const absent = new Set<string>();
  for (const path of [...paths].sort()) {
    const canonical = imagePath(path);
    if (hasAncestorIn(absent, canonical)) continue;
    if (await lower.isDirectory(canonical)) kept.add(path);
    else absent.add(canonical);
  }
  return kept;
}

function hasAncestorIn(paths: ReadonlySet<string>, path: string): boolean {
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
    if (paths.has(path.slice(0, slash))) return true;
  }
  return false;
}

/**
 * Removes a path of the image, and all below it, from the upper directory; nothing there is no error. A symlink on the
 * way ends the search: it is not followed.
 */
export async function removeFromUpper(upper: AbsPath, path: string, signal?: AbortSignal): Promise<void> {
  const parts = imagePath(path).split('/');
  if (parts[0] === '') return;
  let at = upper;
  for (const [index, part] of parts.entries()) {
    at = joinInside(at, part);
    const stats = await lstat(at).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (!stats || (index < parts.length - 1 && !stats.isDirectory())) return;
  }
  await removeTree(at, signal);
}
