import type { LayoutStore } from '../oci/layout.ts';
import { layerFormat } from '../oci/media-types.ts';
import type { LayerConverter } from '../sources/convert-layers.ts';
import type { StoredImage } from './update-plan.ts';

/** A converter with the layout that it fills. */
export interface OpenConverter {
  readonly converter: LayerConverter;
  readonly layout: LayoutStore;
}

/**
 * The image as a build would take it: with squashfs layers, converted where they are tar; digest, settings and annotations
 * stay. An image that has no tar layer is what it was, and `open` is not called for it.
 */
export async function squashfsImage(
  image: StoredImage,
  open: () => Promise<OpenConverter>,
  signal: AbortSignal,
): Promise<StoredImage> {
  const { name, store, manifest, config } = image;
  if (manifest.layers.every(({ mediaType }) => layerFormat(mediaType).kind !== 'tar')) return image;
  const { converter, layout } = await open();
  const wanted = { name, layers: manifest.layers, diffIds: config.rootfs.diff_ids };
  const brought = await converter.bring(store, wanted, signal);
  const layers = brought.map(({ squashfs }) => squashfs);
  return {
    ...image,
    store: layout,
    manifest: { ...manifest, layers },
    config: { ...config, rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) } },
  };
}
