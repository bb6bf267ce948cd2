import { StkError } from '../core/errors.ts';

/** As many symlinks as Linux follows in one path (MAXSYMLINKS). */
const MAX_SYMLINKS = 40;

/** What following a path needs of a tree, be it one image or a stack of layers. */
export interface PathTree<N> {
  readonly name: string;
  /** The child of a directory; `undefined` for none and where the node is no directory. */
  child(node: N, name: string, signal?: AbortSignal): Promise<N | undefined>;
  /** Target of a symlink; `undefined` for other nodes. */
  target(node: N): string | undefined;
}

export interface Resolved<N> {
  /** Path of the node itself, free of symlinks, in the form of `imagePath`. */
  readonly path: string;
  readonly node: N;
}

/** Follows a path without following any symlink; `..` is taken lexically. `undefined` where nothing is there. */
export async function lookupPath<N>(
  tree: PathTree<N>,
  root: N,
  path: string,
  signal?: AbortSignal,
): Promise<N | undefined> {
  let node: N | undefined = root;
  for (const part of path === '' ? [] : path.split('/')) {
    node = await tree.child(node, part, signal);
    if (node === undefined) return undefined;
  }
  return node;
}

/**
 * Follows a path as the kernel does for a process whose root is the tree's: every symlink, the last one included, absolute
 * ones from the root, `..` never above it. `undefined` where nothing is there. Throws `invalid-input` after 40 symlinks.
 */
export async function resolvePath<N>(
  tree: PathTree<N>,
  root: N,
  path: string,
  signal?: AbortSignal,
): Promise<Resolved<N> | undefined> {
  const pending = path.split('/').toReversed();
  const names: string[] = [];
  const nodes: N[] = [];
  let links = 0;
  while (pending.length > 0) {
    const part = pending.pop()!;
    if (part === '' || part === '.') continue;
    if (part === '..') {
      names.pop();
      nodes.pop();
      continue;
    }
    const node = await tree.child(nodes.at(-1) ?? root, part, signal);
    if (node === undefined) return undefined;
    const target = tree.target(node);
    if (target === undefined) {
      names.push(part);
      nodes.push(node);
      continue;
    }
    if (++links > MAX_SYMLINKS) {
      throw new StkError('invalid-input', `${tree.name}: too many symlinks on the way to ${path}`, { facts: { path } });
    }
    if (target.startsWith('/')) names.length = nodes.length = 0;
    pending.push(...target.split('/').toReversed());
  }
  return { path: names.join('/'), node: nodes.at(-1) ?? root };
}
