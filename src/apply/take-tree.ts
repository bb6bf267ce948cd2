import { throwIfAborted } from '../core/errors.ts';
import type { WalkGuard } from '../squashfs/walk.ts';
import { entryFor } from './merge-entry.ts';
import type { MergeEntry } from './merge-result.ts';
import { NOTHING, isDirectory, isSameTree, type TreeNode } from './tree-versions.ts';

/** A path whose tree is taken from one side as it is. */
export interface TakenTree {
  readonly path: string;
  /** Position of the side; -1 is the ancestor. */
  readonly side: number;
  readonly at: TreeNode;
  readonly plain: TreeNode;
}

/** Finds all that has to be in a merge layer below a path so that the plain stack shows a side's tree there. */
export async function takeTree(
  taken: TakenTree,
  add: (entry: MergeEntry) => void,
  signal?: AbortSignal,
): Promise<void> {
  const listings = [new Listings(), new Listings()] as const;
  const pending = [taken];
  for (let tree = pending.pop(); tree; tree = pending.pop()) {
    throwIfAborted(signal);
    const { path, side, at, plain } = tree;
    if (!isDirectory(at) || isSameTree(at, plain)) continue;
    const [own, shown] = [await listings[0].children(at, signal), await listings[1].children(plain, signal)];
    for (const name of new Set([...own.keys(), ...shown.keys()])) {
      const child: TakenTree = {
        path: path === '' ? name : `${path}/${name}`,
        side,
        at: own.get(name) ?? NOTHING,
        plain: shown.get(name) ?? NOTHING,
      };
      const desired =
        child.at.node === undefined ? { type: 'absent' as const } : { type: 'node' as const, side, at: child.at };
      const entry = await entryFor(child.path, { desired }, child.plain, signal);
      if (entry) add(entry);
      pending.push(child);
    }
  }
}

/** Lists directories of one tree; `invalid-input` where they form none. */
class Listings {
  /** By the layer's position, since a stack may hold a layer twice. */
  readonly #guards = new Map<number, WalkGuard>();

  async children({ tree, node }: TreeNode, signal: AbortSignal | undefined): Promise<ReadonlyMap<string, TreeNode>> {
    const children = new Map<string, TreeNode>();
    if (!tree || node?.inode.type !== 'directory') return children;
    for (const { layer, inode } of node.directories) {
      let guard = this.#guards.get(layer);
      if (guard === undefined) this.#guards.set(layer, (guard = tree.layers[layer]!.walkGuard()));
      guard.enter(inode);
    }
    for await (const entry of tree.readDirectory(node, signal)) children.set(entry.name, { tree, node: entry.node });
    return children;
  }
}
