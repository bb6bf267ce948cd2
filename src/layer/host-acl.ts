import type { AbsPath } from '../core/paths.ts';
import { chmod, lstat } from '../host/files.ts';
import { failedWith } from '../host/syscalls/failure.ts';
import { getXattr } from '../host/syscalls/xattr.ts';
import { readTreeXattrs, removeXattrs, type FileXattrs } from '../host/tree-xattrs.ts';
import { pathBelow } from '../host/walk-tree.ts';
import { ACCESS_ACL, DEFAULT_ACL, modeWithoutAcl, parseAclXattr, type AccessAcl } from './posix-acl.ts';

/** Names of xattrs with ACLs. */
export const ACL_XATTRS = /^system\.posix_acl_(?:access|default)$/;

/** What a file or directory of the host is without its ACL. */
export interface PlainMode {
  /** Permission bits, set-id and sticky bits included. */
  readonly mode: number;
  /** There was an ACL that says more than they do. */
  readonly lostAcl: boolean;
}

/**
 * @param path of a file or a directory, not of a symlink
 * @param mode as lstat(2) has it
 */
export function plainMode(path: Buffer, mode: number, isDirectory: boolean): PlainMode {
  const value = getXattr(path, ACCESS_ACL);
  const acl = value && parseAclXattr(value);
  const lostAcl = acl?.extended === true || (isDirectory && getXattr(path, DEFAULT_ACL) !== undefined);
  return { mode: acl ? modeWithoutAcl(mode & 0o7777, acl) : mode & 0o7777, lostAcl };
}

/** Files of a tree with ACLs, and what they are to be without. */
export class AclFiles {
  readonly #found: { readonly path: string; readonly acl: AccessAcl | undefined; readonly lost: boolean }[] = [];

  note({ path, xattrs }: FileXattrs): void {
    const value = xattrs.get(ACCESS_ACL);
    if (value === undefined && !xattrs.has(DEFAULT_ACL)) return;
    const acl = value && parseAclXattr(value);
    this.#found.push({ path, acl, lost: acl?.extended === true || xattrs.has(DEFAULT_ACL) });
  }

  /** Those whose ACL said more than permission bits do; relative to the tree, as byte strings (latin1), `.` the root. */
  get lost(): readonly string[] {
    return this.#found.filter(({ lost }) => lost).map(({ path }) => path);
  }

  /** Takes the ACLs off, of the tree itself or of a copy, and sets the permission bits that say the same. */
  async drop(tree: AbsPath): Promise<void> {
    for (const { path: found, acl } of this.#found) {
      // The tree may be a file alone.
      const path = found === '.' ? '' : found;
      for (const name of [ACCESS_ACL, DEFAULT_ACL]) dropXattr(tree, name, path);
      if (acl === undefined) continue;
      const file = pathBelow(tree, path);
      await chmod(file, modeWithoutAcl((await lstat(file)).mode & 0o7777, acl));
    }
  }
}

/** The files of a tree that have ACLs; no symlink is followed. */
export async function findAcls(tree: AbsPath, signal?: AbortSignal): Promise<AclFiles> {
  const files = new AclFiles();
  for await (const file of readTreeXattrs(tree, ACL_XATTRS, signal)) files.note(file);
  return files;
}

/** A copy may lie where there are no ACLs. */
function dropXattr(tree: AbsPath, name: string, path: string): void {
  try {
    removeXattrs(tree, name, [path]);
  } catch (error) {
    if (!failedWith(error, 'EOPNOTSUPP')) throw error;
  }
}
