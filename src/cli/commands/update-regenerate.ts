import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { writeMergeLayer } from '../../apply/merge-layer.ts';
import { regenerateFiles, withFiles } from '../../apply/regenerate.ts';
import type { AsyncScope } from '../../core/async-scope.ts';
import { digestHex } from '../../core/digest.ts';
import { withTask } from '../../core/events.ts';
import { joinInside, type AbsPath } from '../../core/paths.ts';
import type { PackOptions } from '../../layer/pack-options.ts';
import { LayoutStore } from '../../oci/layout.ts';
import type { PlacedLayer, Regenerate } from '../../publish/update-image.ts';
import type { Session } from '../session.ts';
import type { Ui } from '../ui/open-ui.ts';
import { openWorkshop } from './workshop.ts';

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

let lastRun = 0;

/** Runs programs of an image of a layout on its mounted layers, in the sandbox of a step and without a network. */
export function regenerateInLayout(context: RegenerateContext): Regenerate {
  const { session, layout, scope, ui, scratch, packing, epochSeconds, signal } = context;
  return async ({ problem, result, layers }) => {
    if (!session.inside) throw new NamespacesNeeded();
    const { mounts, directory, rootless } = await openWorkshop({ session, flags: {}, layout, scope, ui });
    const mounted: AbsPath[] = [];
    if (result.entries.length > 0) {
      const path = joinInside(scratch, 'draft');
      const { digest } = await writeMergeLayer({ result, problem, output: path, packing, epochSeconds, signal });
      mounted.push(await mounts.mount({ digest, path }, signal));
    }
    for (const layer of layers.toReversed()) {
      const path = await fileOf(layer, scratch, signal);
      mounted.push(await mounts.mount({ digest: layer.digest, path }, signal));
    }
    const label = result.regenerate.map(({ command }) => command[0]).join(', ');
    const files = await withTask(
      ui.emit,
      { group: 'update', kind: 'run', label },
      task =>
        regenerateFiles({
          commands: result.regenerate,
          layers: mounted,
          directory: joinInside(directory, `update-${++lastRun}`),
          rootless,
          onOutput: (stream, line) => task.output(stream, [line]),
          signal,
        }),
      signal,
    );
    return withFiles(problem, result, files);
  };
}

/** The kernel mounts files: what lies in a registry is fetched first. */
async function fileOf(layer: PlacedLayer, scratch: AbsPath, signal: AbortSignal): Promise<AbsPath> {
  if ('file' in layer) return layer.file;
  const { store, descriptor } = layer.blob;
  if (store instanceof LayoutStore) return store.blobPath(layer.digest);
  const file = joinInside(scratch, digestHex(layer.digest));
  await pipeline(store.readBlob(descriptor, { signal }), createWriteStream(file), { signal });
  return file;
}
