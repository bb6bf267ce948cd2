import { pipeline } from 'node:stream/promises';
import { regenerate } from '../../../apply/regenerate.ts';
import type { AsyncScope } from '../../../core/async-scope.ts';
import { digestHex } from '../../../core/digest.ts';
import type { Workshop } from '../../../builder/do-step.ts';
import { joinInside, type AbsPath } from '../../../core/paths.ts';
import { createWriteStream } from '../../../host/files.ts';
import type { PackOptions } from '../../../layer/pack-options.ts';
import type { LayoutStore } from '../../../oci/layout.ts';
import type { PlacedLayer, Regenerate } from '../../../update/update-image.ts';
import type { LayerFile } from '../../../sandbox/layer-mounts.ts';
import type { Session } from '../../session.ts';
import type { Ui } from '../../ui/open-ui.ts';
import { openWorkshop } from '../build/workshop.ts';

/** Thrown outside of the namespaces by what can only be done inside of them. */
export class NamespacesNeeded extends Error {}

export interface RegenerateContext {
  readonly session: Session;
  readonly layout: LayoutStore;
  /** Owns mounts and the work directory. */
  readonly scope: AsyncScope;
  readonly ui: Ui;
  /** For the first draft of the layer, and for layers that come from a registry. */
  readonly scratch: AbsPath;
  readonly packing: PackOptions;
  readonly epochSeconds: number | undefined;
  readonly signal: AbortSignal;
}

/** Runs programs of an image of a layout on its mounted layers, in the sandbox of a step and without a network. */
export function regenerateInLayout(context: RegenerateContext): Regenerate {
  const { session, layout, scope, ui, scratch, packing, epochSeconds, signal } = context;
  let workshop: Promise<Workshop> | undefined;
  return async ({ problem, result, layers }) => {
    if (!session.inside) throw new NamespacesNeeded();
    const files: LayerFile[] = [];
    for (const layer of layers) files.push({ digest: layer.digest, path: await fileOf(layer, scratch, signal) });
    return regenerate({
      problem,
      result,
      layers: files,
      draft: joinInside(scratch, 'draft'),
      packing,
      epochSeconds,
      place: await (workshop ??= openWorkshop({ session, flags: {}, layout, scope, ui })),
      emit: ui.emit,
      group: 'update',
      signal,
    });
  };
}

/** The kernel mounts files: what lies in a registry is fetched first. */
async function fileOf(layer: PlacedLayer, scratch: AbsPath, signal: AbortSignal): Promise<AbsPath> {
  if ('file' in layer) return layer.file;
  const { store, descriptor } = layer.blob;
  if (store.blobPath) return store.blobPath(layer.digest);
  const file = joinInside(scratch, digestHex(layer.digest));
  await pipeline(store.readBlob(descriptor, { signal }), createWriteStream(file), { signal });
  return file;
}
