import { throwIfAborted } from '../core/errors.ts';
import { hostBytes } from '../core/host-text.ts';
import type { AbsPath } from '../core/paths.ts';
import { lstat, readdir } from './files.ts';

/** Something in a tree. */
export interface TreeEntry {
  /** Relative to the tree's root, a byte string (latin1). */
  readonly path: string;
  /** What its directory knows it to be. */
  readonly entry: { isDirectory(): boolean; isCharacterDevice(): boolean };
}

/**
 * What a tree holds below its root, a directory at a time, each before those in it. Symlinks are not followed. The tree
 * must be at rest. Throws what readdir(3) throws where a directory cannot be read.
 */
export async function* walkTree(root: AbsPath, signal?: AbortSignal): AsyncGenerator<readonly TreeEntry[], void> {
  const pending = [''];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    throwIfAborted(signal);
    const entries = await readdir(pathBelow(root, directory), { withFileTypes: true, encoding: 'buffer' });
    const prefix = directory === '' ? '' : `${directory}/`;
    const found = entries.map(entry => ({ path: prefix + entry.name.toString('latin1'), entry }));
    for (const { path, entry } of found) if (entry.isDirectory()) pending.push(path);
    yield found;
  }
}

/** Paths of the character devices of a tree, relative to it, as byte strings (latin1). */
export async function findCharacterDevices(root: AbsPath, signal?: AbortSignal): Promise<readonly string[]> {
  const devices: string[] = [];
  for await (const entries of walkTree(root, signal)) {
    for (const { path, entry } of entries) if (entry.isCharacterDevice()) devices.push(path);
  }
  return devices;
}

/** Every number that is the owner or the group of something in a tree, its root included. */
export async function findOwnerIds(root: AbsPath, signal?: AbortSignal): Promise<ReadonlySet<number>> {
  const ids = new Set<number>();
  const add = async (path: string) => {
    const { uid, gid } = await lstat(pathBelow(root, path));
    ids.add(uid).add(gid);
  };
  await add('');
  for await (const entries of walkTree(root, signal)) for (const { path } of entries) await add(path);
  return ids;
}

/** The bytes of a path below a root, of which the part below is a byte string (latin1). */
export function pathBelow(root: AbsPath, path: string): Buffer {
  return path === '' ? hostBytes(root) : Buffer.concat([hostBytes(`${root}/`), Buffer.from(path, 'latin1')]);
}
