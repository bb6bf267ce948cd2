import { emptyLower, type LowerLookup } from '../layer/lower-tree.ts';
import type { LayoutStore } from '../oci/layout.ts';
import type { StackLayer } from './ports.ts';

export function lowerStack(
  _layout: LayoutStore,
  _layers: () => Promise<readonly StackLayer[]>,
): LowerLookup & AsyncDisposable {
  return { ...emptyLower, async [Symbol.asyncDispose]() {} };
}
