import type { MergeContext, SideVersion, Version } from './driver.ts';
import { isSameNode } from './tree-versions.ts';

/** The sides that have another node than the ancestor, as far as this is known without reading. */
export function changedSides(
  context: MergeContext,
  { ancestor, sides }: { readonly ancestor: Version; readonly sides: readonly SideVersion[] },
): readonly SideVersion[] {
  const before = { tree: context.ancestor, node: ancestor.node };
  return sides.filter(({ node, side }) => !isSameNode({ tree: context.sides[side]!.tree, node }, before));
}
