import { imagePath } from '../core/paths.ts';
import type { LowerLookup, LowerNode } from '../layer/lower-tree.ts';
import type { LayoutStore } from '../oci/layout.ts';
import type { LayerStack, MergedNode } from '../squashfs/layer-stack.ts';
import { openLayerStack } from './layer-stack.ts';
import type { StackLayer } from './ports.ts';

/**
 * The layers below a new one, as the packers look at them. The layers are asked for, waited for and opened at the first
 * look: most layers never need one.
 */
export function lowerStack(
  layout: LayoutStore,
  layers: () => Promise<readonly StackLayer[]>,
): LowerLookup & AsyncDisposable {
  let opened: Promise<LayerStack | undefined> | undefined;
  const open = () => (opened ??= layers().then(found => openLayerStack(layout, found)));
  const lookup = async (path: string): Promise<LowerNode | undefined> => {
    const stack = await open();
    const node = await stack?.lookup(imagePath(path));
    return stack && node && describe(stack, node);
  };
  return {
    lookup,
    isDirectory: async path => imagePath(path) === '' || (await lookup(path))?.type === 'directory',
    async [Symbol.asyncDispose]() {
      const stack = await opened?.catch(() => undefined);
      await stack?.[Symbol.asyncDispose]();
    },
  };
}

async function describe(stack: LayerStack, node: MergedNode): Promise<LowerNode> {
  const { inode } = node;
  if (inode.type === 'symlink') return { type: 'symlink', target: inode.target };
  if (inode.type !== 'directory') return { type: 'other' };
  const { mode, uid, gid, mtime } = inode;
  return { type: 'directory', attributes: { mode, uid, gid, mtimeSeconds: mtime, xattrs: await stack.xattrs(node) } };
}
