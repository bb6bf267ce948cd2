import type { Digest } from '../core/digest.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { namedBase } from '../sources/bases.ts';
import type { ManifestTarget, UpdateTarget } from './find-targets.ts';
import type { UpdatedImage } from './update-image.ts';
import { roleOf } from './update-segments.ts';

/** An image that an update does not reach, though it holds what the update takes out of others. */
export interface LeftBehind {
  readonly image: ManifestTarget;
  /** Layers of the old version that it still holds; empty where it only stands on an older version of `standsOn`. */
  readonly layers: readonly Digest[];
  /** The image of the same run that it was built on. */
  readonly standsOn: string | undefined;
}

/**
 * Those of the images that were passed over which hold applied layers that the update removes, or were built on an image that it
 * makes a new version of: they hold the old one until they are built again, or get the new version as their base.
 */
export function leftBehind(
  passedOver: readonly ManifestTarget[],
  computed: readonly { readonly target: UpdateTarget; readonly updated: UpdatedImage | undefined }[],
): LeftBehind[] {
  // A base is under many images that never asked for its next version.
  const swapped = computed.flatMap(({ updated }) => updated?.removed ?? []);
  const removed = new Set(swapped.flatMap(layer => (roleOf(layer) === 'apply' ? [layer.digest] : [])));
  const current = new Map(
    computed.map(({ target, updated }) => [
      target.tag,
      { name: target.image.name, digest: updated?.manifest.descriptor.digest ?? target.expected },
    ]),
  );
  return passedOver.flatMap(image => {
    const layers = image.manifest.layers.flatMap(layer =>
      isBelow(layer) && removed.has(layer.digest) ? [layer.digest] : [],
    );
    const base = namedBase(image.manifest.annotations);
    const found = base?.name === undefined ? undefined : current.get(base.name);
    const isOlder = found !== undefined && base?.digest !== found.digest;
    if (layers.length === 0 && !isOlder) return [];
    return [{ image, layers, standsOn: found?.name }];
  });
}

/** The image that a layer was made for holds it as its own, and is an old version rather than one left behind. */
function isBelow(layer: Descriptor): boolean {
  const role = roleOf(layer);
  return role === undefined || role === 'base' || role === 'apply';
}
