import { StkError } from '../../../core/errors.ts';
import type { Descriptor } from '../../../oci/descriptor.ts';
import { layerFormat } from '../../../oci/media-types.ts';
import type { FoundImage } from '../../../stores/find-image.ts';

/** The layers of an image, all of which can be read where they lie. Throws `unsupported` for others, with what helps. */
export function readableLayers({ manifest, name }: Pick<FoundImage, 'manifest' | 'name'>): readonly Descriptor[] {
  const other = manifest.layers.find(layer => layerFormat(layer.mediaType).kind !== 'squashfs');
  if (other === undefined) return manifest.layers;
  throw new StkError('unsupported', `${name} has layers that are not squashfs`, {
    hint: `turn it into squashfs layers first: stk convert ${name} oci:DIR:TAG`,
    facts: { mediaType: other.mediaType, digest: other.digest },
  });
}
