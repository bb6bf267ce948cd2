import type { JsonValue } from '../core/canonical-json.ts';
import { packOptionsKey } from '../layer/pack-options.ts';
import type { BuildOptions } from './options.ts';

/** Options that decide what an image is, for its provenance. */
export function buildParameters(options: BuildOptions): { readonly [name: string]: JsonValue } {
  const { packing, layerTypes, epochSeconds, stableIds, version } = options;
  return {
    packing: packOptionsKey(packing),
    layerTypes: [...layerTypes],
    stableIds,
    epoch: epochSeconds ?? null,
    version,
  };
}
