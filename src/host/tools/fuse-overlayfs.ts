import { runTool } from '../exec.ts';
import type { OverlayMount } from './mount.ts';

export interface FuseOverlay extends OverlayMount {
  /** Everything in the merged tree belongs to these ids, so that an ordinary user may write everywhere. */
  readonly squashTo?: { readonly uid: number; readonly gid: number };
  /**
   * Without the kernel's write-back cache, which takes a read that fails half-way for a hole and shows zeros; without it
   * the file seems to end there.
   */
  readonly writeThrough?: boolean;
}

/**
 * Serves an overlay in user space until it is unmounted; returns once it is mounted. Works for anybody with fusermount3
 * and is seen by the whole session. It reads kernel whiteouts and `user.overlay.opaque`.
 */
export async function mountFuseOverlay(mount: FuseOverlay, signal?: AbortSignal): Promise<void> {
  const options = [`lowerdir=${mount.lowers.join(':')}`];
  if (mount.upper !== undefined) options.push(`upperdir=${mount.upper}`, `workdir=${mount.work}`);
  if (mount.squashTo) options.push(`squash_to_uid=${mount.squashTo.uid}`, `squash_to_gid=${mount.squashTo.gid}`);
  if (mount.writeThrough) options.push('writeback=0');
  await runTool('fuse-overlayfs', ['-o', options.join(','), mount.target], { cwd: mount.cwd, signal });
}
