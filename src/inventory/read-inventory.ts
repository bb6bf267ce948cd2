import { mapLimited } from '../core/limiter.ts';
import { digestOf, type Digest } from '../core/digest.ts';
import { stat } from '../host/files.ts';
import { OpenLayers } from '../lazy/open-layers.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { VERITY_ROOT } from '../oci/layer-annotations.ts';
import { composeInventory, type Inventory, type PartOfLayer } from './inventory.ts';
import type { LayerPart } from './layer-part.ts';
import type { PartCache } from './part-cache.ts';
import { scanLayer } from './scan-layer.ts';

/** Layers that are read side by side. */
const PARALLEL = 4;

export interface InventoryPorts {
  readonly store: BlobStore;
  readonly cache: PartCache;
  readonly signal?: AbortSignal;
}

/**
 * What the layers, from the bottom up, say of packages together. Layers that were read before are not opened. Throws as
 * `openStoreLayer` and `scanLayer` do.
 */
export async function readInventory(layers: readonly Descriptor[], ports: InventoryPorts): Promise<Inventory> {
  await using opened = new OpenLayers();
  const parts = await mapLimited(
    layers,
    PARALLEL,
    async (layer, signal): Promise<PartOfLayer> => ({
      layer: layer.digest,
      part: await readPart(layer, { ...ports, signal }, opened),
    }),
    ports.signal,
  );
  return composeInventory(parts);
}

async function readPart(
  layer: Descriptor,
  { store, cache, signal }: InventoryPorts,
  opened: OpenLayers,
): Promise<LayerPart> {
  const key = await partKey(store, layer);
  const known = await cache.get(key);
  if (known) return known;
  const part = await scanLayer(await opened.open(store, layer, signal), signal);
  await cache.put(key, part);
  return part;
}

/**
 * What a remembered part is of: blocks that come from elsewhere were checked against the verity root, which is the
 * manifest's claim; a file of the host is not hashed, so it is that very file.
 */
async function partKey(store: BlobStore, { digest, annotations }: Descriptor): Promise<Digest> {
  const file = store.blobPath && (await stat(store.blobPath(digest)).catch(() => undefined));
  const bytes = file ? `${file.dev} ${file.ino} ${file.mtimeMs} ${file.size}` : `${annotations?.[VERITY_ROOT]}`;
  return digestOf(`${digest} ${bytes}`);
}
