import { AsyncScope } from '../core/async-scope.ts';
import { openFileReader } from '../host/file-reader.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { LayerStack } from '../squashfs/layer-stack.ts';
import { openSquashfs, type SquashfsReader } from '../squashfs/squashfs-reader.ts';
import type { StackLayer } from './ports.ts';

/** Opens squashfs blobs of a layout as one merged tree; `undefined` for no layers. The caller disposes it. */
export async function openLayerStack(
  layout: LayoutStore,
  layers: readonly Pick<StackLayer, 'squashfs'>[],
  signal?: AbortSignal,
): Promise<LayerStack | undefined> {
  if (layers.length === 0) return undefined;
  const scope = new AsyncScope();
  try {
    const readers: SquashfsReader[] = [];
    for (const { squashfs } of layers) {
      const file = await openFileReader(layout.blobPath(squashfs.digest));
      // The reader owns the file once it is open.
      const reader = await openSquashfs(file, signal).catch(async (error: unknown) => {
        await file[Symbol.asyncDispose]();
        throw error;
      });
      readers.push(scope.use(reader));
    }
    return new LayerStack(readers);
  } catch (error) {
    await scope[Symbol.asyncDispose]();
    throw error;
  }
}
