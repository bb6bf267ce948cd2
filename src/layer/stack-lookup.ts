import { imagePath } from '../core/paths.ts';
import type { LayerStack } from '../squashfs/layer-stack.ts';
import type { LowerNode } from './lower-tree.ts';

/** What a stack of layers has at a path, as the packers look at what lies below a new layer. */
export async function lookupInStack(stack: LayerStack, path: string): Promise<LowerNode | undefined> {
  const node = await stack.lookup(imagePath(path));
  if (node === undefined) return undefined;
  const { inode } = node;
  if (inode.type === 'symlink') return { type: 'symlink', target: inode.target };
  if (inode.type !== 'directory') return { type: 'other' };
  const { mode, uid, gid, mtime } = inode;
  return { type: 'directory', attributes: { mode, uid, gid, mtimeSeconds: mtime, xattrs: await stack.xattrs(node) } };
}
