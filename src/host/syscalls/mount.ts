import os from 'node:os';
import { openSync, closeSync } from '../files.ts';
import type { AbsPath } from '../../core/paths.ts';
import { shownHostText } from '../../core/host-text.ts';
import { syscallFailure } from './failure.ts';
import { nativeFunction, type NativeResult } from './native.ts';
import { cString } from './path-bytes.ts';

const mount = nativeFunction('mount', 'int', ['void *', 'void *', 'void *', 'ulong', 'void *']);
const umount2 = nativeFunction('umount2', 'int', ['void *', 'int']);
const fchdir = nativeFunction('fchdir', 'int', ['int']);

/** sys/mount.h, the same on every architecture. */
const FLAGS = { ro: 1, nosuid: 2, nodev: 4 } as const;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
/** fcntl.h on every architecture that Node runs on; such a descriptor needs no right to read. */
const O_PATH = 0o10000000;
const { ENOSPC } = os.constants.errno;

export interface FilesystemMount {
  /** Block device, or what the mount table is to show. */
  readonly source: string;
  /** `fuse.NAME` for a FUSE mount that shows a name. */
  readonly type: string;
  readonly target: string;
  readonly flags?: readonly (keyof typeof FLAGS)[];
  /** Options of the filesystem itself, at most a page. */
  readonly options?: readonly string[];
}

/** mount(2), awaited in another thread: it may have to read from a server of this user. Throws as `syscallFailure` does. */
export async function mountFilesystem(wish: FilesystemMount): Promise<void> {
  assertMounted(await mount.wait(...argumentsOf(wish)), wish);
}

/**
 * mount(2) with names in the options, and the target, relative to a directory. This process works in it for the time of
 * the call, in which nothing else of it runs; its other threads use absolute paths only. So it must not be called for
 * what another thread of this process serves.
 */
export function mountFilesystemFrom(directory: AbsPath, wish: FilesystemMount): void {
  const words = argumentsOf(wish);
  const back = openSync('.', O_PATH);
  try {
    const there = openSync(directory, O_PATH);
    let result: NativeResult;
    try {
      changeDirectory(there);
      result = mount.call(...words);
    } finally {
      changeDirectory(back);
      closeSync(there);
    }
    assertMounted(result, wish);
  } finally {
    closeSync(back);
  }
}

function changeDirectory(fd: number): void {
  const { errno } = fchdir.call(fd);
  if (errno !== 0) throw syscallFailure({ call: 'fchdir', errno, attempt: 'change the directory' });
}

function argumentsOf({ source, type, target, flags = [], options = [] }: FilesystemMount) {
  const bits = flags.reduce((sum, flag) => sum | FLAGS[flag], 0);
  return [cString(source), cString(target), cString(type), bits, cString(options.join(','))] as const;
}

function assertMounted({ errno }: NativeResult, { type, source, target }: FilesystemMount): void {
  if (errno === 0) return;
  // No disk is full then: a mount namespace holds no more mounts.
  const isLimit = errno === ENOSPC;
  const attempt = `${isLimit ? 'too many mounts: ' : ''}mount ${type} ${shownHostText(source)} on`;
  const limit = isLimit ? ({ code: 'tool-failed', hint: 'unmount something, or raise fs.mount-max' } as const) : {};
  throw syscallFailure({ call: 'mount', errno, attempt, path: shownHostText(target), ...limit });
}

/** umount2(2), awaited in another thread: the last use of a filesystem writes what is unwritten. */
export async function unmountFilesystem(target: AbsPath, options: { readonly lazy?: boolean } = {}): Promise<void> {
  const { errno } = await umount2.wait(cString(target), UMOUNT_NOFOLLOW | (options.lazy ? MNT_DETACH : 0));
  if (errno !== 0) throw syscallFailure({ call: 'umount2', errno, attempt: 'unmount', path: shownHostText(target) });
}
