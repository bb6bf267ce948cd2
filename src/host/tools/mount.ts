import type { AbsPath } from '../../core/paths.ts';
import { throwIfAborted } from '../../core/errors.ts';
import { runTool } from '../exec.ts';
import { openLoopDevice } from '../syscalls/loop.ts';
import { mountFilesystem, mountFilesystemFrom, unmountFilesystem } from '../syscalls/mount.ts';

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
  throwIfAborted(signal);
  mountFilesystemFrom(mount.cwd, {
    source: mount.source ?? 'overlay',
    type: 'overlay',
    target: mount.target,
    ...(mount.upper === undefined ? { flags: ['ro'] } : {}),
    options: overlayOptions(mount),
  });
}

function overlayOptions(mount: OverlayMount): readonly string[] {
  const options = ['userxattr', `lowerdir=${mount.lowers.join(':')}`];
  if (mount.upper !== undefined) options.push(`upperdir=${mount.upper}`, `workdir=${mount.work}`);
  if (mount.lowers.length > MAX_LOWER_LAYERS || Buffer.byteLength(options.join(',')) > MAX_OPTION_BYTES) {
    throw new RangeError(`an overlay of ${mount.lowers.length} lower layers is beyond the kernel's limit`);
  }
  return options;
}

/** Mounts a squashfs file read-only through a loop device that goes away with the mount. Needs real root. */
export async function mountSquashfsLoop(file: AbsPath, target: AbsPath, signal?: AbortSignal): Promise<void> {
  throwIfAborted(signal);
  await using device = await openLoopDevice(file);
  await mountSquashfsDevice(device.path, target, signal);
}

/** Mounts the squashfs on a block device read-only. Needs real root. */
export async function mountSquashfsDevice(device: AbsPath, target: AbsPath, signal?: AbortSignal): Promise<void> {
  throwIfAborted(signal);
  await mountFilesystem({ source: device, type: 'squashfs', target, flags: ['ro', 'nodev', 'nosuid'] });
}

/** Mounts an empty tmpfs, without devices and set-user-ID programs. */
export async function mountTmpfs(target: AbsPath, options: readonly string[], signal?: AbortSignal): Promise<void> {
  throwIfAborted(signal);
  await mountFilesystem({ source: 'tmpfs', type: 'tmpfs', target, flags: ['nodev', 'nosuid'], options });
}

/** Unmounts; `lazy` detaches at once and lets the kernel finish when the last user is gone. */
export async function unmount(target: AbsPath, options: { readonly lazy?: boolean } = {}): Promise<void> {
  await unmountFilesystem(target, options);
}

/** Unmounts many targets in one go, each one detached at once; goes on past those that fail, and throws then. */
export async function detachAll(targets: readonly AbsPath[]): Promise<void> {
  const ended = await Promise.allSettled(targets.map(target => unmountFilesystem(target, { lazy: true })));
  for (const one of ended) if (one.status === 'rejected') throw one.reason;
}

/** Serves a squashfs file with FUSE until it is unmounted; returns once it is mounted. Works for anybody. */
export async function mountSquashfuse(file: AbsPath, target: AbsPath, signal?: AbortSignal): Promise<void> {
  // Below a kernel overlay, users other than root get EACCES at files nobody looked at before, unless the kernel checks
  // modes here, too. An ordinary user's overlay checks by itself, and has to read what it then shows as that user's.
  const options = process.getuid?.() === 0 ? 'ro,default_permissions' : 'ro';
  await runTool('squashfuse_ll', ['-o', options, file, target], { signal });
}
