import { shownPath, tarError } from './tar-error.ts';

/** Names that are canonical already: no part is empty or begins with a dot. */
const PLAIN = /^[^/.][^/]*(?:\/[^/.][^/]*)*$/;

/**
 * Canonical form of a name in an archive: rooted, `.` and empty parts dropped, `..` taken lexically. A name that climbs
 * out of the root is `invalid-input`.
 */
export function layerPath(name: string): string {
  if (PLAIN.test(name)) return name;
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) throw tarError(`${shownPath(name)} leaves the layer`);
  }
  return parts.join('/');
}

const WHITEOUT_PREFIX = '.wh.';
const META_PREFIX = '.wh..wh.';
const OPAQUE_NAME = '.wh..wh..opq';
/** Directory in which AUFS keeps a name of each file that has several (its "pseudo-links"). */
const LINKS_DIRECTORY = '.wh..wh.plnk/';

/** What the last part of an entry's path says (image-spec, layer.md, "Whiteouts"). */
export type Mark =
  | { readonly kind: 'none' }
  /** AUFS bookkeeping, to be ignored. */
  | { readonly kind: 'ignored' }
  | { readonly kind: 'opaque'; readonly directory: string }
  | { readonly kind: 'whiteout'; readonly path: string };

export const NO_MARK: Mark = { kind: 'none' };

/** @param path canonical */
export function markOf(path: string): Mark {
  if (!path.includes(WHITEOUT_PREFIX)) return NO_MARK;
  const slash = path.lastIndexOf('/');
  const parent = path.slice(0, Math.max(slash, 0));
  const name = path.slice(slash + 1);
  if (name === OPAQUE_NAME) return { kind: 'opaque', directory: parent };
  if (path.split('/').some(part => part.startsWith(META_PREFIX))) return { kind: 'ignored' };
  if (!name.startsWith(WHITEOUT_PREFIX)) return NO_MARK;
  const hidden = name.slice(WHITEOUT_PREFIX.length);
  if (hidden === '' || hidden === '.' || hidden === '..') throw tarError(`${shownPath(path)} deletes no possible name`);
  return { kind: 'whiteout', path: parent === '' ? hidden : `${parent}/${hidden}` };
}

/** Name of a file among AUFS's pseudo-links, whose other names are hard links to it. */
export function pseudoLinkName(path: string): string | undefined {
  const name = path.slice(LINKS_DIRECTORY.length);
  return path.startsWith(LINKS_DIRECTORY) && !name.includes('/') ? name : undefined;
}

/** Name of the tar entry that deletes a path. */
export function whiteoutName(path: string): string {
  const slash = path.lastIndexOf('/') + 1;
  return `${path.slice(0, slash)}${WHITEOUT_PREFIX}${path.slice(slash)}`;
}

/** Name of the tar entry that makes a directory opaque. */
export function opaqueName(directory: string): string {
  return directory === '' ? OPAQUE_NAME : `${directory}/${OPAQUE_NAME}`;
}

/** Whether a file of a squashfs layer would be taken for a mark once it stands in a tar layer. */
export function isReservedName(path: string): boolean {
  return path.slice(path.lastIndexOf('/') + 1).startsWith(WHITEOUT_PREFIX);
}
