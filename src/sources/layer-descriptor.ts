import type { Digest } from '../core/digest.ts';
import type { PackOptions } from '../layer/pack-options.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { LAYER_ROLE, VERITY_ROOT, type LayerRole } from '../oci/layer-annotations.ts';
import { MediaType } from '../oci/media-types.ts';

/** Descriptor of a squashfs blob that stk packed: media type by compressor, verity root and role as annotations. */
export function layerDescriptor(
  blob: { readonly digest: Digest; readonly sizeBytes: number; readonly verityRoot?: string | undefined },
  packing: PackOptions,
  role: LayerRole,
): Descriptor {
  return {
    mediaType: `${MediaType.layerSquashfs}+${packing.compressor}`,
    digest: blob.digest,
    size: blob.sizeBytes,
    annotations: {
      ...(blob.verityRoot === undefined ? {} : { [VERITY_ROOT]: blob.verityRoot }),
      [LAYER_ROLE]: role,
    },
  };
}

/** The same blob in another role: what it was in another image is forgotten. */
export function withRole(
  descriptor: Descriptor,
  role: LayerRole,
  annotations: Readonly<Record<string, string>> = {},
): Descriptor {
  const kept = Object.entries(descriptor.annotations ?? {}).filter(([name]) => !name.startsWith('dev.stk.'));
  return { ...descriptor, annotations: { ...Object.fromEntries(kept), ...annotations, [LAYER_ROLE]: role } };
}
