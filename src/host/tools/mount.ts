import type { AbsPath } from '../../core/paths.ts';
import { runTool } from '../exec.ts';

/** Longest option string that mount(2) takes: one page, the terminating NUL included. */
const MAX_OPTION_BYTES = 4095;
/** `OVL_MAX_STACK` of fs/overlayfs: lower layers of one overlay. */
export const MAX_LOWER_LAYERS = 500;

export interface OverlayMount {
  /** Directory that the names below are relative to: short names keep the options within one page. */
  readonly cwd: AbsPath;
  /** Lower directories, uppermost first, free of `:`, `,` and `\`. */
  readonly lowers: readonly string[];
  readonly upper?: string;
  readonly work?: string;
  readonly target: string;
  /** What the mount table shows as its source; default `overlay`. */
  readonly source?: string;
}

/**
 * Mounts an overlay with `userxattr`, as root and in a user namespace alike, so that one layer serves both
 * (Documentation/filesystems/overlayfs.rst, "User xattr"). Without an upper the mount is read-only and needs two lowers.
 */
export async function mountOverlay(mount: OverlayMount, signal?: AbortSignal): Promise<void> {
  const options = overlayOptions(mount);
  // The new mount API cuts one parameter at 256 bytes; mount(2) takes a whole page.
  const env = { LIBMOUNT_FORCE_MOUNT2: 'always' };
  await runTool('mount', ['-i', '-t', 'overlay', '-o', options, mount.source ?? 'overlay', mount.target], {
    cwd: mount.cwd,
    env,
    signal,
  });
}

function overlayOptions(mount: OverlayMount): string {
  const parts = ['userxattr', `lowerdir=${mount.lowers.join(':')}`];
  if (mount.upper !== undefined) parts.push(`upperdir=${mount.upper}`, `workdir=${mount.work}`);
  else parts.push('ro');
  const options = parts.join(',');
  if (mount.lowers.length > MAX_LOWER_LAYERS || Buffer.byteLength(options) > MAX_OPTION_BYTES) {
    throw new RangeError(`an overlay of ${mount.lowers.length} lower layers is beyond the kernel's limit`);
  }
  return options;
}

/** Mounts a squashfs file read-only through a loop device that goes away with the mount. Needs real root. */
export async function mountSquashfsLoop(file: AbsPath, target: AbsPath, signal?: AbortSignal): Promise<void> {
  await runTool('mount', ['-i', '-t', 'squashfs', '-o', 'loop,ro,nodev,nosuid', file, target], { signal });
}

/** Mounts the squashfs on a block device read-only. Needs real root. */
export async function mountSquashfsDevice(device: AbsPath, target: AbsPath, signal?: AbortSignal): Promise<void> {
  await runTool('mount', ['-i', '-t', 'squashfs', '-o', 'ro,nodev,nosuid', device, target], { signal });
}

export async function mountTmpfs(target: AbsPath, options: string, signal?: AbortSignal): Promise<void> {
  await runTool('mount', ['-i', '-t', 'tmpfs', '-o', options, 'tmpfs', target], { signal });
}

/** Unmounts; `lazy` detaches at once and lets the kernel finish when the last user is gone. */
export async function unmount(target: AbsPath, options: { readonly lazy?: boolean } = {}): Promise<void> {
  await runTool('umount', [...(options.lazy ? ['--lazy'] : []), target]);
}

/** Unmounts many targets in one go, each one detached at once; goes on past those that fail, and throws then. */
export async function detachAll(targets: readonly AbsPath[]): Promise<void> {
  if (targets.length > 0) await runTool('umount', ['--lazy', '--', ...targets]);
}

/** Serves a squashfs file with FUSE until it is unmounted; returns once it is mounted. Works for anybody. */
export async function mountSquashfuse(file: AbsPath, target: AbsPath, signal?: AbortSignal): Promise<void> {
  // Below a kernel overlay, users other than root get EACCES at files nobody looked at before, unless the kernel checks
  // modes here, too. An ordinary user's overlay checks by itself, and has to read what it then shows as that user's.
  const options = process.getuid?.() === 0 ? 'ro,default_permissions' : 'ro';
  await runTool('squashfuse_ll', ['-o', options, file, target], { signal });
}
