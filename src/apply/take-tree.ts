import { throwIfAborted } from '../core/errors.ts';
import type { WalkGuard } from '../squashfs/walk.ts';
import { entryFor } from './merge-entry.ts';
import type { MergeEntry } from './merge-result.ts';
import { childOf, isDirectory, isSameTree, type TreeNode } from './tree-versions.ts';

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
    const names = new Set(await listings[0].names(at, signal));
    for (const name of await listings[1].names(plain, signal)) names.add(name);
    for (const name of names) {
      const child: TakenTree = {
        path: path === '' ? name : `${path}/${name}`,
        side,
        at: await childOf(at, name, signal),
        plain: await childOf(plain, name, signal),
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

  async names({ tree, node }: TreeNode, signal: AbortSignal | undefined): Promise<readonly string[]> {
    if (!tree || node?.inode.type !== 'directory') return [];
    for (const { layer, inode } of node.directories) {
      let guard = this.#guards.get(layer);
      if (guard === undefined) this.#guards.set(layer, (guard = tree.layers[layer]!.walkGuard()));
      guard.enter(inode);
    }
    const names: string[] = [];
    for await (const entry of tree.readDirectory(node, signal)) names.push(entry.name);
    return names;
  }
}
