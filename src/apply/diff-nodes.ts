import type { LayerStack, MergedNode } from '../squashfs/layer-stack.ts';
import { sameContent } from '../squashfs/same-content.ts';
import type { Xattrs } from '../squashfs/xattrs.ts';

/** In what two nodes can differ. */
export type Aspect = 'type' | 'mode' | 'owner' | 'xattrs' | 'target' | 'device' | 'content';

/** A node and the tree that it is of. */
export interface PlacedNode {
  readonly stack: LayerStack;
  readonly node: MergedNode;
}

/** Attributes that overlayfs keeps for itself say nothing of the file. */
const OVERLAY_XATTR = /^(?:user|trusted)\.overlay\./;

/**
 * What differs between two nodes, apart from times and counts of links. Contents are read only where everything that is
 * cheaper to know is equal. The same inode of the same layer is equal without a look.
 */
export async function comparePlacedNodes(
  before: PlacedNode,
  after: PlacedNode,
  signal?: AbortSignal,
): Promise<readonly Aspect[]> {
  const [old, now] = [before.node.inode, after.node.inode];
  const oldLayer = before.stack.layerOf(before.node);
  const nowLayer = after.stack.layerOf(after.node);
  const sameOwner = old.uid === now.uid && old.gid === now.gid;
  // One layer's inode may be shown with other owners.
  if (oldLayer === nowLayer && old.ref === now.ref) return sameOwner ? [] : ['owner'];
  const aspects: Aspect[] = [];
  if (old.type !== now.type) aspects.push('type');
  if (old.mode !== now.mode) aspects.push('mode');
  if (!sameOwner) aspects.push('owner');
  if (old.xattrIndex !== undefined || now.xattrIndex !== undefined) {
    const [left, right] = [await oldLayer.xattrs(old, signal), await nowLayer.xattrs(now, signal)];
    if (!sameXattrs(left, right)) aspects.push('xattrs');
  }
  if (old.type !== now.type) return aspects;
  if (old.type === 'symlink' && now.type === 'symlink' && old.target !== now.target) aspects.push('target');
  if ('major' in old && 'major' in now && (old.major !== now.major || old.minor !== now.minor)) aspects.push('device');
  if (old.type === 'file' && now.type === 'file') {
    const same = await sameContent({ reader: oldLayer, file: old }, { reader: nowLayer, file: now }, signal);
    if (!same) aspects.push('content');
  }
  return aspects;
}

function sameXattrs(left: Xattrs, right: Xattrs): boolean {
  const own = (xattrs: Xattrs) => [...xattrs].filter(([name]) => !OVERLAY_XATTR.test(name));
  const [mine, theirs] = [own(left), own(right)];
  return mine.length === theirs.length && mine.every(([name, value]) => right.get(name)?.equals(value) === true);
}
