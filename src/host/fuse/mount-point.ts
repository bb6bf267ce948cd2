import { readFile, writeFile } from 'node:fs/promises';
import type { AbsPath } from '../../core/paths.ts';
import { runTool } from '../exec.ts';

/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export interface MountPoint {
  readonly target: string;
  /** `MAJOR:MINOR` of the filesystem; for FUSE the minor names the connection in /sys/fs/fuse/connections. */
  readonly device: string;
  /** Such as `fuse.stk`. */
  readonly fsType: string;
  readonly source: string;
}

/** The topmost mount at a path, from the kernel's table alone: the filesystem there is not touched, dead or alive. */
export async function findMountPoint(target: AbsPath): Promise<MountPoint | undefined> {
  return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8')).findLast(mount => mount.target === target);
}

export function parseMountInfo(text: string): MountPoint[] {
  return text.split('\n').flatMap(line => {
    const [front = '', back = ''] = line.split(' - ');
    const [, , device, , target] = front.split(' ');
    const [fsType, source] = back.split(' ');
    if (device === undefined || target === undefined || fsType === undefined || source === undefined) return [];
    return [{ target: unescape(target), device, fsType, source: unescape(source) }];
  });
}

/** The kernel writes space, tab, newline and backslash as three octal digits. */
function unescape(text: string): string {
  if (!text.includes('\\')) return text;
  const bytes = Buffer.from(text).toString('latin1');
  const plain = bytes.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
  return Buffer.from(plain, 'latin1').toString();
}

/** Lets the kernel read further ahead than its 128 KiB. Only real root may; anybody else's mount stays as it is. */
export async function raiseReadahead(mount: MountPoint, sizeBytes: number): Promise<boolean> {
  return tryWrite(`/sys/class/bdi/${mount.device}/read_ahead_kb`, String(Math.floor(sizeBytes / 1024)));
}

/** Ends a FUSE connection: everything that waits for it fails. `false` where fusectl is not mounted or not ours. */
export async function abortConnection(mount: MountPoint): Promise<boolean> {
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
  const [tool, args] = how === 'umount' ? ['umount', ['-i', '--lazy']] : ['fusermount3', ['-u', '-z', '--']];
  try {
    await runTool(tool, [...args, target], { signal });
  } catch (error) {
    if (await findMountPoint(target)) throw error;
  }
}
