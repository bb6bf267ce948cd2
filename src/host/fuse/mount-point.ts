import type { AbsPath } from '../../core/paths.ts';
import { writeFile } from '../files.ts';
import { findMount, type MountEntry } from '../mount-table.ts';
import { unmountFilesystem } from '../syscalls/mount.ts';
import { fuseUnmount } from '../tools/fusermount.ts';

/** Lets the kernel read further ahead than its 128 KiB. Only real root may; anybody else's mount stays as it is. */
export async function raiseReadahead(mount: MountEntry, sizeBytes: number): Promise<boolean> {
  return tryWrite(`/sys/class/bdi/${mount.device}/read_ahead_kb`, String(Math.floor(sizeBytes / 1024)));
}

/** Ends a FUSE connection: everything that waits for it fails. `false` where fusectl is not mounted or not ours. */
export async function abortConnection(mount: MountEntry): Promise<boolean> {
  return tryWrite(`/sys/fs/fuse/connections/${mount.device.split(':')[1]}/abort`, '1');
}

async function tryWrite(file: string, text: string): Promise<boolean> {
  return writeFile(file, text, { flag: 'r+' }).then(
    () => true,
    () => false,
  );
}

/**
 * Takes a FUSE mount away at once; the kernel ends the connection when its last user is gone. `fusermount3` serves those
 * who may not call umount(2). Does nothing where nothing is mounted.
 */
export async function detachFuse(target: AbsPath, how: 'umount' | 'fusermount3', signal?: AbortSignal): Promise<void> {
  try {
    if (how === 'umount') await unmountFilesystem(target, { lazy: true });
    else await fuseUnmount(target, { lazy: true, signal });
  } catch (error) {
    if (await findMount(target)) throw error;
  }
}
