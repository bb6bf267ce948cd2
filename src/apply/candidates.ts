import { throwIfAborted } from '../core/errors.ts';
import { isOpaque, isWhiteout } from '../squashfs/overlay.ts';
import type { SquashfsReader } from '../squashfs/squashfs-reader.ts';
import type { MergeSide } from './merge-problem.ts';

/** Paths at which the trees have to be looked at, as a tree of names; the root has no name. */
export interface PathTree {
  readonly children: Map<string, PathTree>;
  /** Whether this very path is one, not just something below it. */
  wanted: boolean;
}

/** Layers, by their position among all distinct ones, that say something of a path. */
const MANY = -2;

/**
 * Finds every path at which sides can disagree, or at which a plain stack can show something else than the merged tree:
 * those that several layers name, and those that one layer has below a directory which another one hides. Memory grows
 * with the number of entries in the layers.
 */
export async function findCandidates(sides: readonly MergeSide[], signal?: AbortSignal): Promise<PathTree> {
  const readers = [...new Set(sides.flatMap(side => side.layers))];
  const named = new Map<string, number>();
  const hidden = new Map<string, number>();
  const mark = (map: Map<string, number>, path: string, reader: number) => {
    const known = map.get(path);
    if (known !== reader) map.set(path, known === undefined ? reader : MANY);
  };
  for (const [index, reader] of readers.entries()) {
    for await (const entry of reader.walk(signal ? { signal } : {})) {
      throwIfAborted(signal);
      mark(named, entry.path, index);
      if (await hides(reader, entry.node, signal)) mark(hidden, entry.path, index);
    }
  }
  const above = hiddenAbove(hidden);
  const root: PathTree = { children: new Map(), wanted: false };
  for (const [path, reader] of named) {
    const hiding = hidden.size === 0 ? undefined : above(parentOf(path));
    if (reader === MANY || (path !== '' && hiding !== undefined && hiding !== reader)) addPath(root, path);
  }
  return root;
}

/** Marks a path as wanted, with the directories that lead to it. */
export function addPath(tree: PathTree, path: string): void {
  let at = tree;
  for (const name of path === '' ? [] : path.split('/')) {
    let child = at.children.get(name);
    if (child === undefined) at.children.set(name, (child = { children: new Map(), wanted: false }));
    at = child;
  }
  at.wanted = true;
}

type Entry = Awaited<ReturnType<SquashfsReader['root']>> | Parameters<typeof isWhiteout>[0];

/** Whether an entry hides what layers below have under its path. */
async function hides(reader: SquashfsReader, inode: Entry, signal: AbortSignal | undefined): Promise<boolean> {
  if (inode.type !== 'directory') return true;
  return inode.xattrIndex !== undefined && isOpaque(await reader.xattrs(inode, signal));
}

/** Tells for a directory which layer hides it or one above it: `undefined` none, `MANY` several. */
function hiddenAbove(hidden: ReadonlyMap<string, number>): (directory: string) => number | undefined {
  const known = new Map<string, number | undefined>();
  const combine = (a: number | undefined, b: number | undefined) =>
    a === undefined ? b : b === undefined || a === b ? a : MANY;
  const find = (directory: string): number | undefined => {
    if (directory === '') return hidden.get('');
    if (known.has(directory)) return known.get(directory);
    const found = combine(hidden.get(directory), find(parentOf(directory)));
    known.set(directory, found);
    return found;
  };
  return find;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}
