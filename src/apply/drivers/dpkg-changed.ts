import type { LayerStack, MergedNode } from '../../squashfs/layer-stack.ts';
import type { MergeContext, SideVersion } from '../driver.ts';

/** Whether a side shows the ancestor's very node, which no content has to be read for. */
export function showsAncestors(
  context: MergeContext,
  { side, node }: SideVersion,
  ancestor: MergedNode | undefined,
): boolean {
  const { tree } = context.sides[side]!;
  return isSameNode(tree, node, context.ancestor, ancestor);
}

/** One inode of one blob, and for a directory the same in every layer that takes part. */
export function isSameNode(
  tree: LayerStack | undefined,
  node: MergedNode | undefined,
  other: LayerStack | undefined,
  otherNode: MergedNode | undefined,
): boolean {
  if (node === undefined || otherNode === undefined || tree === undefined || other === undefined) {
    return node === otherNode;
  }
  if (node.inode.type !== 'directory' || otherNode.inode.type !== 'directory') {
    return tree.layerOf(node) === other.layerOf(otherNode) && node.inode.ref === otherNode.inode.ref;
  }
  return (
    node.directories.length === otherNode.directories.length &&
    node.directories.every(({ layer, inode }, index) => {
      const counterpart = otherNode.directories[index]!;
      return tree.layers[layer] === other.layers[counterpart.layer] && inode.ref === counterpart.inode.ref;
    })
  );
}
