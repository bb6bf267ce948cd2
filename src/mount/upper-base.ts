import path from 'node:path';
import { isDigest, type Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { tryLockFile } from '../host/file-lock.ts';
import { failedWith } from '../host/syscalls/failure.ts';
import { readXattr, setXattrs } from '../host/tree-xattrs.ts';

/** The image below an upper directory. */
export interface UpperBase {
  /** Directory of the layout. */
  readonly layout: AbsPath;
  /** As it was named; it may have moved since. */
  readonly tag: string;
  /** Of the manifest. */
  readonly digest: Digest;
}

/** In overlayfs's own name space: hidden in the merged tree, and never part of a layer. */
const BASE_XATTR = 'user.overlay.stk.base';

/**
 * Notes on an upper directory what it was mounted on, for as long as the directory lives, wherever it is moved. Where the
 * filesystem keeps no such note, there is none.
 */
export function rememberBase(upper: AbsPath, base: UpperBase): void {
  try {
    setXattrs(upper, BASE_XATTR, Buffer.from(JSON.stringify(base)), ['.']);
  } catch (error) {
    if (!failedWith(error, 'EOPNOTSUPP', 'EPERM', 'EACCES', 'ENOSPC', 'EDQUOT', 'EROFS', 'E2BIG')) throw error;
  }
}

/** What an upper directory was last mounted on; `undefined` where nothing usable says so. */
export function readBase(upper: AbsPath): UpperBase | undefined {
  const bytes = readXattr(upper, BASE_XATTR);
  if (bytes === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return isBase(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Throws `conflict` while somebody reads the directory as a whole, and so needs it unchanged: holds a lock on it. */
export async function assertAtRest(upper: AbsPath): Promise<void> {
  await using lock = await tryLockFile(upper, 'exclusive');
  if (lock) return;
  throw new StkError('conflict', `${upper} is being committed`, {
    hint: 'try again when that has ended',
    facts: { path: upper },
  });
}

function isBase(value: unknown): value is UpperBase {
  if (typeof value !== 'object' || value === null) return false;
  const base = value as Partial<UpperBase>;
  return (
    typeof base.layout === 'string' &&
    path.isAbsolute(base.layout) &&
    typeof base.tag === 'string' &&
    isDigest(base.digest)
  );
}
