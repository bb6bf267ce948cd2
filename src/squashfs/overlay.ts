import type { Inode } from './inode.ts';
import type { Xattrs } from './xattrs.ts';

/** The mark of an opaque directory for mounts with `userxattr` (Documentation/filesystems/overlayfs.rst). */
export const OPAQUE_XATTR = 'user.overlay.opaque';

/** Whether an inode says that what layers below have under its name is deleted: a character device 0:0. */
export function isWhiteout(inode: Inode): boolean {
  return inode.type === 'char' && inode.major === 0 && inode.minor === 0;
}

/** Whether the xattrs of a directory say that it hides what layers below have in it. */
export function isOpaque(xattrs: Xattrs): boolean {
  const value = xattrs.get(OPAQUE_XATTR);
  return value !== undefined && value.length === 1 && value[0] === 0x79;
}
