import { StkError } from '../core/errors.ts';
import { isOverlayXattr } from '../layer/overlay-xattrs.ts';
import type { LayerStack, MergedNode } from '../squashfs/layer-stack.ts';
import type { Xattrs } from '../squashfs/xattrs.ts';
import { comparePlacedNodes, type Aspect } from './diff-nodes.ts';
import type { Version } from './driver.ts';

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;

/** A node of a tree, or that the tree has none. */
export interface TreeNode {
  readonly tree: LayerStack | undefined;
  readonly node: MergedNode | undefined;
}

export const NOTHING: TreeNode = { tree: undefined, node: undefined };

/** A tree's node with the means to look into it. */
export function versionOf({ tree, node }: TreeNode, signal?: AbortSignal): Version {
  return {
    node,
    async read(maxBytes = DEFAULT_MAX_BYTES) {
      if (!tree || !node) throw new StkError('invalid-input', 'there is nothing to read');
      return tree.readFile(node, { maxBytes, ...(signal ? { signal } : {}) });
    },
    xattrs: () => ownXattrs({ tree, node }, signal),
  };
}

/** Extended attributes without those that overlayfs keeps for itself. */
export async function ownXattrs({ tree, node }: TreeNode, signal?: AbortSignal): Promise<Xattrs> {
  if (!tree || node?.inode.xattrIndex === undefined) return new Map();
  const xattrs = await tree.xattrs(node, signal);
  return new Map([...xattrs].filter(([name]) => !isOverlayXattr(name)));
}

/** In what two nodes differ; `undefined` where only one is there. */
export async function differences(
  a: TreeNode,
  b: TreeNode,
  signal?: AbortSignal,
): Promise<readonly Aspect[] | undefined> {
  if (!a.tree || !a.node || !b.tree || !b.node) return a.node === b.node ? [] : undefined;
  return comparePlacedNodes({ stack: a.tree, node: a.node }, { stack: b.tree, node: b.node }, signal);
}

export async function isSame(a: TreeNode, b: TreeNode, signal?: AbortSignal): Promise<boolean> {
  return (await differences(a, b, signal))?.length === 0;
}

export async function childOf({ tree, node }: TreeNode, name: string, signal?: AbortSignal): Promise<TreeNode> {
  if (!tree || node?.inode.type !== 'directory') return NOTHING;
  const child = await tree.child(node, name, signal);
  return child === undefined ? NOTHING : { tree, node: child };
}

export async function rootOf(tree: LayerStack | undefined, signal?: AbortSignal): Promise<TreeNode> {
  return tree === undefined ? NOTHING : { tree, node: await tree.root(signal) };
}

export async function namesIn({ tree, node }: TreeNode, signal?: AbortSignal): Promise<readonly string[]> {
  if (!tree || node?.inode.type !== 'directory') return [];
  const names: string[] = [];
  for await (const entry of tree.readDirectory(node, signal)) names.push(entry.name);
  return names;
}
