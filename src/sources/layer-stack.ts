import { AsyncScope } from '../core/async-scope.ts';
import { openFileReader } from '../host/file-reader.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { LayerStack } from '../squashfs/layer-stack.ts';
import { openSquashfs, type SquashfsReader } from '../squashfs/squashfs-reader.ts';
import type { StackLayer } from './ports.ts';

/** Opens a squashfs blob of a layout. The caller disposes it. */
export async function openLayer(
  layout: LayoutStore,
  squashfs: Pick<Descriptor, 'digest'>,
  signal?: AbortSignal,
): Promise<SquashfsReader> {
  const file = await openFileReader(layout.blobPath(squashfs.digest));
  // The reader owns the file once it is open.
  return openSquashfs(file, signal).catch(async (error: unknown) => {
    await file[Symbol.asyncDispose]();
    throw error;
  });
}

/** Opens squashfs blobs of a layout as one merged tree; `undefined` for no layers. The caller disposes it. */
export async function openLayerStack(
  layout: LayoutStore,
  layers: readonly Pick<StackLayer, 'squashfs'>[],
  signal?: AbortSignal,
): Promise<LayerStack | undefined> {
  return openStack(layers, ({ squashfs }) => openLayer(layout, squashfs, signal));
}

/** As `openLayerStack`, for layers that the caller opens; they pass to the result. */
export async function openStack<L>(
  layers: readonly L[],
  open: (layer: L) => Promise<SquashfsReader>,
): Promise<LayerStack | undefined> {
  if (layers.length === 0) return undefined;
  const scope = new AsyncScope();
  try {
    const readers: SquashfsReader[] = [];
    for (const layer of layers) readers.push(scope.use(await open(layer)));
    return new LayerStack(readers);
  } catch (error) {
    await scope[Symbol.asyncDispose]();
    throw error;
  }
}
