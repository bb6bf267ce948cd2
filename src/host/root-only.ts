import { lstat, realpath, statfs } from './files.ts';
import path from 'node:path';
import type { AbsPath } from '../core/paths.ts';

/**
 * `f_type` of statfs(2) for filesystems of this machine's own, whose owners and modes the kernel itself keeps. What a FUSE
 * server or another machine says of them is worth nothing, and it can change a file that nobody here wrote to.
 */
const KEPT_BY_KERNEL: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0xf2f52010, // f2fs
  0x2fc12fc1, // zfs
  0xca451a4e, // bcachefs
  0x01021994, // tmpfs
  0x858458f6, // ramfs
  0x794c7630, // overlayfs
]);

const STICKY = 0o1000;

/**
 * Why somebody besides root could change what lies at a path, in words; `undefined` where nobody can: the file and every
 * directory that leads to it belong to root and can be written by root alone. In a sticky directory others can make
 * entries, but not replace those of root. Links are followed first, so what counts is `canonical`. A further hard link of
 * such a file is no way to write to it.
 */
export async function findOtherWriter(file: AbsPath): Promise<string | undefined> {
  const canonical = await realpath(file);
  const parts = canonical.split('/').filter(part => part !== '');
  const paths = ['/', ...parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`)];
  for (const place of paths) {
    const { uid, mode } = await lstat(place);
    if (uid !== 0) return `${place} belongs to uid ${uid}`;
    const isShelf = place !== canonical && (mode & STICKY) !== 0;
    if ((mode & 0o022) !== 0 && !isShelf) return `${place} can be written by others than root`;
  }
  const { type } = await statfs(canonical);
  return KEPT_BY_KERNEL.has(type) ? undefined : `${path.dirname(canonical)} is on no filesystem of this kernel's own`;
}
