import { StkError, errnoOf, throwIfAborted } from '../../core/errors.ts';
import type { AbsPath } from '../../core/paths.ts';
import { runTool } from '../exec.ts';
import { openDescriptorSocket } from '../syscalls/descriptor-socket.ts';
import { mountFilesystem } from '../syscalls/mount.ts';
import { closeSync, open, type FileHandle } from '../files.ts';

const DEVICE = '/dev/fuse';

export interface FuseMountOptions {
  /** Whether users other than the one who mounts may read; fusermount3 wants `user_allow_other` for it. */
  readonly allowOther: boolean;
  /** Shown as the type `fuse.SUBTYPE` in the mount table. */
  readonly subtype: string;
}

/** Who mounts: this process, which then must be allowed to, or setuid fusermount3 for an ordinary user. */
export type FuseMounter = 'mount' | 'fusermount3';

/** A device that is mounted. Requests wait in its descriptor, the caller's to serve; disposing it closes that. */
export interface FuseDevice extends AsyncDisposable {
  readonly fd: number;
}

/**
 * Mounts /dev/fuse on a directory. For `mount`, it takes CAP_SYS_ADMIN in the user namespace that owns the mount
 * namespace, where the device must be opened, too: the kernel checks `rootmode` and binds the connection to the descriptor
 * (Documentation/filesystems/fuse.rst, "Mount options"). `fusermount3` opens the device itself and hands it over a socket
 * that `_FUSE_COMMFD` names. Throws `missing-capability` where the device or the program is absent.
 */
export async function mountDevice(
  target: AbsPath,
  options: FuseMountOptions,
  how: FuseMounter,
  signal?: AbortSignal,
): Promise<FuseDevice> {
  return how === 'mount' ? mountOpened(target, options, signal) : receiveMounted(target, options, signal);
}

async function mountOpened(target: AbsPath, options: FuseMountOptions, signal?: AbortSignal): Promise<FuseDevice> {
  throwIfAborted(signal);
  const device = await openDevice();
  try {
    await mountFilesystem({
      source: options.subtype,
      type: `fuse.${options.subtype}`,
      target,
      flags: ['ro', 'nosuid', 'nodev'],
      options: [
        `fd=${device.fd}`,
        'rootmode=40000',
        `user_id=${process.getuid?.() ?? 0}`,
        `group_id=${process.getgid?.() ?? 0}`,
        ...checks(options),
      ],
    });
    return device;
  } catch (error) {
    await device.close();
    throw error;
  }
}

async function receiveMounted(target: AbsPath, options: FuseMountOptions, signal?: AbortSignal): Promise<FuseDevice> {
  using socket = openDescriptorSocket();
  const list = ['ro', 'nosuid', 'nodev', `subtype=${options.subtype}`, ...checks(options)].join(',');
  await runTool('fusermount3', ['-o', list, '--', target], {
    inheritFds: [socket.peer],
    env: { _FUSE_COMMFD: '3' },
    signal,
  });
  const fd = socket.receive();
  if (fd === undefined)
    throw new StkError('tool-failed', 'fusermount3 sent no descriptor', { facts: { path: target } });
  let isOpen = true;
  return {
    fd,
    async [Symbol.asyncDispose]() {
      if (isOpen) closeSync(fd);
      isOpen = false;
    },
  };
}

function checks({ allowOther }: FuseMountOptions): readonly string[] {
  return ['default_permissions', ...(allowOther ? ['allow_other'] : [])];
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
