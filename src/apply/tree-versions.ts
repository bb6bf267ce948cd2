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

/** In what two nodes differ; `undefined` where only one is there. Contents are read if their sizes are equal. */
export async function differences(
  a: TreeNode,
  b: TreeNode,
  signal?: AbortSignal,
): Promise<readonly Aspect[] | undefined> {
  if (!a.tree || !a.node || !b.tree || !b.node) return a.node === b.node ? [] : undefined;
  return comparePlacedNodes({ stack: a.tree, node: a.node }, { stack: b.tree, node: b.node }, signal);
}

/** Whether nothing but times and counts of links differs. Contents are read only where all the rest is equal. */
export async function isSame(a: TreeNode, b: TreeNode, signal?: AbortSignal): Promise<boolean> {
  if (isSameInode(a, b)) return true;
  const [mine, theirs] = [a.node?.inode, b.node?.inode];
  if (mine === undefined || theirs === undefined || mine.type !== theirs.type) return false;
  if (mine.mode !== theirs.mode || mine.uid !== theirs.uid || mine.gid !== theirs.gid) return false;
  if (mine.type === 'file' && mine.size !== theirs.size) return false;
  return (await differences(a, b, signal))!.length === 0;
}

/** Whether both are one inode of one layer with the same owners, or both nothing. Tells nothing of what lies below a directory. */
export function isSameInode(a: TreeNode, b: TreeNode): boolean {
  if (!a.tree || !a.node || !b.tree || !b.node) return a.node === b.node;
  const [mine, theirs] = [a.node.inode, b.node.inode];
  if (mine.ref !== theirs.ref || a.tree.layerOf(a.node) !== b.tree.layerOf(b.node)) return false;
  return mine.uid === theirs.uid && mine.gid === theirs.gid;
}

/** Whether two directories are the same layers' directories, so that all that lies below is the same. */
export function isSameTree(a: TreeNode, b: TreeNode): boolean {
  const [mine, theirs] = [a.node?.directories ?? [], b.node?.directories ?? []];
  return (
    mine.length > 0 &&
    mine.length === theirs.length &&
    mine.every(
      ({ layer, inode }, index) =>
        inode.ref === theirs[index]!.inode.ref &&
        a.tree!.layers[layer] === b.tree!.layers[theirs[index]!.layer] &&
        a.tree!.ownersOf(layer) === b.tree!.ownersOf(theirs[index]!.layer),
    )
  );
}

/** Whether both are the same, known without a look at contents: one inode, or all that lies below a directory. */
export function isSameNode(a: TreeNode, b: TreeNode): boolean {
  return isDirectory(a) && isDirectory(b) ? isSameTree(a, b) : isSameInode(a, b);
}

export function isDirectory({ node }: TreeNode): boolean {
  return node?.inode.type === 'directory';
}

export async function childOf({ tree, node }: TreeNode, name: string, signal?: AbortSignal): Promise<TreeNode> {
  if (!tree || node?.inode.type !== 'directory') return NOTHING;
  const child = await tree.child(node, name, signal);
  return child === undefined ? NOTHING : { tree, node: child };
}

export async function rootOf(tree: LayerStack | undefined, signal?: AbortSignal): Promise<TreeNode> {
  return tree === undefined ? NOTHING : { tree, node: await tree.root(signal) };
}
