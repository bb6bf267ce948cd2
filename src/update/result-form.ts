import type { Digest } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { mapHeld } from '../oci/layer-annotations.ts';
import type { ComposedSegments } from './update-compose.ts';
import type { StoredBlob, StoredImage } from './update-plan.ts';
import type { HeldLayer } from './update-segments.ts';

/** A blob of a result, and where it is: a file of the caller's, or another image's blob. */
export interface NewBlob {
  readonly descriptor: Descriptor;
  readonly from: { readonly file: AbsPath } | { readonly blob: StoredBlob };
}

/** A layer as it lies in a result, and where its bytes are. */
export interface FormedLayer {
  readonly layer: HeldLayer;
  readonly from: NewBlob['from'];
}

/** Gives a layer that was worked on as squashfs the form that it has in the result. */
export type ResultForm = (formed: FormedLayer) => Promise<FormedLayer>;

/** All layers of a result, each list bottom up. */
export interface FormedLayers {
  readonly layers: readonly Descriptor[];
  readonly blobs: readonly NewBlob[];
  /** What an image is composed of, with the layers in their form. */
  segments(composed: ComposedSegments): ComposedSegments;
}

/** @param whereIs where the bytes of a layer are that is worked on */
export async function formLayers(
  worked: readonly HeldLayer[],
  form: ResultForm | undefined,
  whereIs: (descriptor: Descriptor) => NewBlob['from'],
): Promise<FormedLayers> {
  const formed = new Map<Digest, FormedLayer>();
  for (const layer of worked) {
    const plain = { layer, from: whereIs(layer.descriptor) };
    formed.set(layer.descriptor.digest, form ? await form(plain) : plain);
  }
  const one = (layer: HeldLayer) => formed.get(layer.descriptor.digest)!.layer;
  const digests = new Map([...formed].map(([digest, { layer }]) => [digest, layer.descriptor.digest]));
  const blobs = worked.map(layer => {
    const { from, layer: shown } = formed.get(layer.descriptor.digest)!;
    return { descriptor: shown.descriptor, from };
  });
  return {
    layers: blobs.map(({ descriptor }) => descriptor),
    blobs,
    segments: composed => ({
      ...composed,
      segments: { ...composed.segments, kept: composed.segments.kept.map(one) },
      base: composed.base.map(one),
      applied: composed.applied.map(one),
      merge: composed.merge && one(composed.merge),
      update: composed.update && one(composed.update),
      entries: mapHeld(composed.entries, digests),
    }),
  };
}

/** The layers that an image has where it lies, whatever they are worked on as. */
export function originalLayers({ manifest, originals }: StoredImage): readonly Descriptor[] {
  return manifest.layers.map(layer => originals?.get(layer.digest)?.descriptor ?? layer);
}
