import type { Digest } from '../core/digest.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { followLayers } from '../oci/layer-annotations.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { layerFormat } from '../oci/media-types.ts';
import type { LayerConverter } from '../sources/convert-layers.ts';
import type { RecordCache } from '../sources/record-cache.ts';
import type { OriginalLayer, StoredImage } from './update-plan.ts';

/** A converter with the layout that it fills, and the memory of what it converted. */
export interface OpenConverter {
  readonly converter: LayerConverter;
  readonly layout: LayoutStore;
  readonly records: RecordCache;
}

/**
 * The image as a build would take it: with squashfs layers, converted where they are tar; digest, settings and annotations
 * stay, and what the layers say of their roles. An image that has no tar layer is what it was, and `open` is not called
 * for it. Each tar is read once: the converter remembers by its digest.
 */
export async function squashfsImage(
  image: StoredImage,
  open: () => Promise<OpenConverter>,
  signal: AbortSignal,
): Promise<StoredImage> {
  const { name, store, manifest, config } = image;
  if (!hasTarLayers(image)) return image;
  const { converter, layout } = await open();
  const diffIds = config.rootfs.diff_ids;
  const brought = await converter.bring(store, { name, layers: manifest.layers, diffIds }, signal);
  const layers = brought.map(({ squashfs }, index) => asIn(manifest.layers[index]!, squashfs));
  const originals = new Map<Digest, OriginalLayer>();
  const squashfsOf = new Map<Digest, Digest>();
  for (const [index, { digest }] of layers.entries()) {
    const descriptor = manifest.layers[index]!;
    originals.set(digest, { store, descriptor, diffId: diffIds[index]! });
    squashfsOf.set(descriptor.digest, digest);
  }
  const annotations = followLayers(manifest.annotations, squashfsOf);
  return {
    ...image,
    store: layout,
    manifest: { ...manifest, layers, ...(annotations === undefined ? {} : { annotations }) },
    config: { ...config, rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) } },
    originals,
  };
}

function hasTarLayers({ manifest }: Pick<StoredImage, 'manifest'>): boolean {
  return manifest.layers.some(({ mediaType }) => layerFormat(mediaType).kind === 'tar');
}

/** What the image says of the layer's part in it stays; what the conversion says of its bytes is new. */
function asIn(original: Descriptor, squashfs: Descriptor): Descriptor {
  if (original.digest === squashfs.digest) return original;
  const isRole = ([name]: readonly [string, string]) => name.startsWith('dev.stk.');
  const made = Object.entries(squashfs.annotations ?? {}).filter(each => !isRole(each));
  const said = Object.entries(original.annotations ?? {}).filter(isRole);
  return { ...squashfs, annotations: Object.fromEntries([...made, ...said]) };
}
