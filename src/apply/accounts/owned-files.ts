import { StkError } from '../../core/errors.ts';
import type { LayerStack } from '../../squashfs/layer-stack.ts';
import { mapsOwner } from '../../squashfs/owner-map.ts';

/** Paths are held in memory. */
const MOST_PATHS = 500_000;

/**
 * Paths of layers whose owners or groups the stack shows otherwise than they are stored; one that an upper layer hides
 * counts as well. A layer in which no such id occurs is not read. Throws `unsupported` where there are too many.
 */
export async function pathsOfRenumbered(tree: LayerStack, found: Set<string>, signal?: AbortSignal): Promise<void> {
  for (const [index, layer] of tree.layers.entries()) {
    const map = tree.ownersOf(index);
    if (map === undefined) continue;
    for await (const { path, node } of layer.walk(signal ? { signal } : {})) {
      if (!mapsOwner(map, node)) continue;
      found.add(path);
      if (found.size > MOST_PATHS) {
        throw new StkError('unsupported', `more than ${MOST_PATHS} files belong to accounts whose ids clash`, {
          hint: 'build the images anew with stable ids, or make the accounts in their common base',
        });
      }
    }
  }
}
