import { StkError, errnoOf } from '../../core/errors.ts';
import type { AbsPath } from '../../core/paths.ts';
import { runTool } from '../exec.ts';
import { open, type FileHandle } from '../files.ts';

const DEVICE = '/dev/fuse';

export interface FuseMountOptions {
  /** Whether users other than the one who mounts may read; fusermount3 wants `user_allow_other` for it. */
  readonly allowOther: boolean;
  /** Shown as the type `fuse.SUBTYPE` in the mount table. */
  readonly subtype: string;
}

/** Options that mount(8) and fusermount3 both take. */
export function fuseOptions(options: FuseMountOptions): string[] {
  return [
    'ro',
    'nosuid',
    'nodev',
    'default_permissions',
    `subtype=${options.subtype}`,
    ...(options.allowOther ? ['allow_other'] : []),
  ];
}

/**
 * Opens /dev/fuse and mounts it; needs CAP_SYS_ADMIN in the user namespace that owns the mount namespace, where the
 * device must be opened too. The kernel checks `rootmode` and binds the connection to the descriptor that mount(8)
 * inherits (Documentation/filesystems/fuse.rst, "Mount options"). Requests wait in the returned descriptor, the caller's
 * to serve and to close.
 */
export async function mountDevice(
  target: AbsPath,
  options: FuseMountOptions,
  signal?: AbortSignal,
): Promise<FileHandle> {
  const device = await openDevice();
  try {
    const owner = [`user_id=${process.getuid?.() ?? 0}`, `group_id=${process.getgid?.() ?? 0}`];
    const list = ['fd=3', 'rootmode=40000', ...owner, ...fuseOptions(options)].join(',');
    await runTool('mount', ['-i', '-t', 'fuse', '-o', list, options.subtype, target], {
      inheritFds: [device.fd],
      signal,
    });
    return device;
  } catch (error) {
    await device.close();
    throw error;
  }
}

async function openDevice(): Promise<FileHandle> {
  try {
    return await open(DEVICE, 'r+');
  } catch (cause) {
    const missing = errnoOf(cause) === 'ENOENT' || errnoOf(cause) === 'ENODEV' || errnoOf(cause) === 'ENXIO';
    throw new StkError('missing-capability', `cannot open ${DEVICE}: ${errnoOf(cause)}`, {
      cause,
      hint: missing ? 'load the kernel module: modprobe fuse' : `let users open it: chmod 0666 ${DEVICE}`,
      facts: { path: DEVICE },
    });
  }
}
