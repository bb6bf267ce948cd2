import os from 'node:os';
import { failureOn, nulTerminated } from './path-bytes.ts';
import { nativeFunction } from './native.ts';

const llistxattr = nativeFunction('llistxattr', 'long', ['void *', 'void *', 'size_t']);
const lgetxattr = nativeFunction('lgetxattr', 'long', ['void *', 'void *', 'void *', 'size_t']);
const lsetxattr = nativeFunction('lsetxattr', 'int', ['void *', 'void *', 'void *', 'size_t', 'int']);
const lremovexattr = nativeFunction('lremovexattr', 'int', ['void *', 'void *']);

/** XATTR_LIST_MAX and XATTR_SIZE_MAX of the kernel (include/uapi/linux/limits.h): no list and no value is longer. */
const MAX_BYTES = 65_536;
const { ENODATA, EOPNOTSUPP } = os.constants.errno;

let room: Buffer | undefined;

/**
 * Names of a file's extended attributes that this process may see, as byte strings (latin1). A symlink is not followed. A
 * filesystem that keeps none has none.
 *
 * @param path of any bytes but NUL
 */
export function listXattrs(path: Buffer): readonly string[] {
  const names = (room ??= Buffer.alloc(MAX_BYTES));
  const { value, errno } = llistxattr.call(nulTerminated(path), names, MAX_BYTES);
  if (value < 0 && errno === EOPNOTSUPP) return [];
  if (value < 0) throw failureOn('llistxattr', path, errno);
  return value === 0 ? [] : names.toString('latin1', 0, value - 1).split('\0');
}

/** The value of one of them; `undefined` where the file has none of this name. */
export function getXattr(path: Buffer, name: string): Buffer | undefined {
  const bytes = (room ??= Buffer.alloc(MAX_BYTES));
  const { value, errno } = lgetxattr.call(nulTerminated(path), nulTerminated(name), bytes, MAX_BYTES);
  if (value >= 0) return Buffer.from(bytes.subarray(0, value));
  if (errno === ENODATA || errno === EOPNOTSUPP) return undefined;
  throw failureOn('lgetxattr', path, errno);
}

/** Sets one, whether or not it is there. */
export function setXattr(path: Buffer, name: string, bytes: Uint8Array): void {
  const { value, errno } = lsetxattr.call(nulTerminated(path), nulTerminated(name), bytes, bytes.length, 0);
  if (value < 0) throw failureOn('lsetxattr', path, errno);
}

/** Removes one; `false` where there was none. */
export function removeXattr(path: Buffer, name: string): boolean {
  const { value, errno } = lremovexattr.call(nulTerminated(path), nulTerminated(name));
  if (value === 0) return true;
  if (errno === ENODATA) return false;
  throw failureOn('lremovexattr', path, errno);
}
