import { errnoOf, messageOf, StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { mountAt, readMountTable } from '../host/mount-table.ts';
import { fuseUnmount } from '../host/tools/fusermount.ts';
import { unmount } from '../host/tools/mount.ts';

/** Whether the caller may call umount(2), or has to ask fusermount3. */
export type UnmountRight = 'mounter' | 'fuse-user';

/**
 * Takes off whatever is mounted at a path, mounts stacked on it included; nothing mounted is no error. Throws `conflict`
 * where it is in use, unless `lazy`: then it is detached at once and ends with its last user.
 */
export async function unmountPath(
  target: AbsPath,
  right: UnmountRight,
  options: { readonly lazy?: boolean } = {},
): Promise<void> {
  // A mount may lie under another one at the same place; a bound keeps a racing mounter from holding us here.
  for (let round = 0; round < 8; round++) {
    if (!mountAt(await readMountTable(), target)) return;
    try {
      await (right === 'mounter' ? unmount : fuseUnmount)(target, options);
    } catch (cause) {
      if (!mountAt(await readMountTable(), target)) return;
      if (!/busy/i.test(messageOf(cause)) && errnoOf(cause) !== 'EBUSY') throw cause;
      throw new StkError('conflict', `${target} is in use`, {
        cause,
        hint: `end what uses it (fuser -vm ${target} names it), then try again`,
        facts: { path: target },
      });
    }
  }
}
