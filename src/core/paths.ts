import path from 'node:path';
import { StkError } from './errors.ts';

/** An absolute, normalised path on the host. */
export type AbsPath = string & { readonly __brand: 'AbsPath' };

export function absPath(text: string, base: string): AbsPath {
  return path.resolve(base, text) as AbsPath;
}

/**
 * Joins a relative path below a root without leaving it lexically. Throws `invalid-input` for `..` that climbs out, for
 * absolute paths and NUL bytes. It does not look at symlinks: never use it to walk an image's tree on the host.
 */
export function joinInside(root: string, relative: string): AbsPath {
  const joined = path.resolve(root, relative);
  const inside = joined === root || joined.startsWith(root.endsWith('/') ? root : `${root}/`);
  if (!inside || path.isAbsolute(relative) || relative.includes('\0')) {
    throw new StkError('invalid-input', `path leaves its directory: ${relative}`, { facts: { root, path: relative } });
  }
  return joined as AbsPath;
}

/**
 * Canonical form of a path in an image: no leading slash, no `.`, `..` clamped at the root, no trailing slash; the root
 * itself is the empty string. Works on any string, latin1-decoded bytes included.
 */
export function imagePath(text: string): string {
  const parts: string[] = [];
  for (const part of text.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}
