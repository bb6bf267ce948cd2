import type { Digest } from '../core/digest.ts';
import type { PackOptions } from '../layer/pack-options.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';

/** What a layer is in its image. */
export type LayerRole = 'base' | 'apply' | 'merge' | 'import' | 'overlay' | 'run' | 'update' | 'commit';

export const LAYER_ROLE = 'dev.stk.layer.role';
export const VERITY_ROOT = 'io.stackeroci.stacker.atomfs_verity_root_hash';

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

/** The same blob in another role. */
export function withRole(descriptor: Descriptor, role: LayerRole): Descriptor {
  return { ...descriptor, annotations: { ...descriptor.annotations, [LAYER_ROLE]: role } };
}
