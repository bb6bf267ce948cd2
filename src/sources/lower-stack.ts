import { imagePath } from '../core/paths.ts';
import { leafInStack } from '../layer/lower-leaf.ts';
import type { LowerContent, LowerNode } from '../layer/lower-tree.ts';
import { lookupInStack } from '../layer/stack-lookup.ts';
import type { LayoutStore } from '../oci/layout.ts';
import type { LayerStack } from '../squashfs/layer-stack.ts';
import { openLayerStack } from './layer-stack.ts';
import type { StackLayer } from './ports.ts';

/**
 * The layers below a new one, as the packers look at them. The layers are asked for, waited for and opened at the first
 * look: most layers never need one.
 */
export function lowerStack(
  layout: LayoutStore,
  layers: () => Promise<readonly StackLayer[]>,
): LowerContent & AsyncDisposable {
  let opened: Promise<LayerStack | undefined> | undefined;
  const open = () => (opened ??= layers().then(found => openLayerStack(layout, found)));
  const lookup = async (path: string): Promise<LowerNode | undefined> => {
    const stack = await open();
    return stack && lookupInStack(stack, path);
  };
  return {
    lookup,
    async leaf(path) {
      const stack = await open();
      return stack && leafInStack(stack, path);
    },
    isDirectory: async path => imagePath(path) === '' || (await lookup(path))?.type === 'directory',
    async [Symbol.asyncDispose]() {
      const stack = await opened?.catch(() => undefined);
      await stack?.[Symbol.asyncDispose]();
    },
  };
}
