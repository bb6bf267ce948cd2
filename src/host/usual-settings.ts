import { hostBytes } from '../core/host-text.ts';
import type { AbsPath } from '../core/paths.ts';
import { chmod, chown, lstat, mkdir } from './files.ts';
import { failedWith } from './syscalls/failure.ts';
import { removeXattr } from './syscalls/xattr.ts';

/** What sandboxes and the files made for them have, whatever the caller's is; container engines take the same. */
const USUAL_UMASK = 0o022;

/**
 * From now on, files are made as usual: what images and sandboxes get to see must not depend on the caller's umask. What is
 * the caller's own, such as the layout's directory, is to be there before.
 */
export function takeUsualUmask(): void {
  process.umask(USUAL_UMASK);
}

/**
 * Takes from a directory that was just made what it has inherited from its parent (a default ACL, the group, the set-group-ID
 * bit), so that what is made below depends on nobody's settings.
 *
 * @param mode permission bits
 */
export async function disinherit(directory: AbsPath, mode: number): Promise<void> {
  dropInheritedAcls(directory);
  const { uid, gid } = await lstat(directory);
  const own = process.getegid?.() ?? gid;
  if (gid !== own) await chown(directory, uid, own);
  await chmod(directory, mode);
}

/** Takes the ACLs off a directory alone. Its permission bits may be those of a mask afterwards, and are yet to be set. */
export function dropInheritedAcls(directory: AbsPath): void {
  for (const name of ['system.posix_acl_default', 'system.posix_acl_access']) {
    try {
      removeXattr(hostBytes(directory), name);
    } catch (error) {
      if (!failedWith(error, 'EOPNOTSUPP')) throw error;
    }
  }
}

/** Makes a directory, unless it is there, in which files get what they are made with and inherit nothing. */
export async function makePlainDir(directory: AbsPath): Promise<void> {
  if ((await mkdir(directory, { recursive: true })) !== undefined) await disinherit(directory, 0o755);
}
