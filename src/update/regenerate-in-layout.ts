import { pipeline } from 'node:stream/promises';
import { regenerate, type RegeneratePlace } from '../apply/regenerate.ts';
import { digestHex } from '../core/digest.ts';
import type { Emit } from '../core/events.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { createWriteStream } from '../host/files.ts';
import type { PackOptions } from '../layer/pack-options.ts';
import type { Platform } from '../oci/descriptor.ts';
import type { LayerFile } from '../sandbox/mounted-layers.ts';
import type { PlacedLayer, Regenerate } from './update-image.ts';

/** Thrown outside of the namespaces by what can only be done inside of them. */
export class NamespacesNeeded extends Error {}

/** Where programs of images run, opened at the first use. Throws `NamespacesNeeded` outside of the namespaces. */
export type OpenPlace = () => Promise<RegeneratePlace>;

export interface RegenerateContext {
  readonly platform: Platform;
  readonly openPlace: OpenPlace;
  readonly emit: Emit;
  /** For the first draft of the layer, and for layers that come from a registry. */
  readonly scratch: AbsPath;
  readonly packing: PackOptions;
  readonly epochSeconds: number | undefined;
  readonly signal: AbortSignal;
}

/** Runs programs of an image of a layout on its mounted layers, in the sandbox of a step and without a network. */
export function regenerateInLayout(context: RegenerateContext): Regenerate {
  const { platform, openPlace, scratch, emit, packing, epochSeconds, signal } = context;
  let place: Promise<RegeneratePlace> | undefined;
  return async ({ problem, result, layers }) => {
    const opened = await (place ??= openPlace());
    const files: LayerFile[] = [];
    for (const layer of layers) {
      files.push({ descriptor: layer.descriptor, file: await fileOf(layer, scratch, signal) });
    }
    return regenerate({
      platform,
      problem,
      result,
      layers: files,
      draft: joinInside(scratch, 'draft'),
      packing,
      epochSeconds,
      place: opened,
      emit,
      group: 'update',
      signal,
    });
  };
}

/** Files are mounted: what lies in a registry is fetched first. */
async function fileOf(layer: PlacedLayer, scratch: AbsPath, signal: AbortSignal): Promise<AbsPath> {
  if ('file' in layer) return layer.file;
  const { store, descriptor } = layer.blob;
  if (store.blobPath) return store.blobPath(descriptor.digest);
  const file = joinInside(scratch, digestHex(descriptor.digest));
  await pipeline(store.readBlob(descriptor, { signal }), createWriteStream(file), { signal });
  return file;
}
