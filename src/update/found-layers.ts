import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import { formatPlatform } from '../oci/platform.ts';
import type { StoredImage } from './update-plan.ts';

/** An image as a list of layers that can be compared with another's, bottom up. */
export interface LayerList {
  readonly name: string;
  readonly digests: readonly Digest[];
  readonly diffIds: readonly Digest[];
}

/** The layers of an image where it lies: not of what it is worked on as. */
export function layerList({ name, manifest, config, originals }: StoredImage): LayerList {
  const original = manifest.layers.map(layer => originals?.get(layer.digest));
  return {
    name,
    digests: manifest.layers.map((layer, index) => original[index]?.descriptor.digest ?? layer.digest),
    diffIds: config.rootfs.diff_ids.map((diffId, index) => original[index]?.diffId ?? diffId),
  };
}

/** How many layers two images have in common from the bottom: a blob that was compressed again is the same layer. */
export function commonLayers(a: LayerList, b: LayerList): number {
  const length = Math.min(a.diffIds.length, b.diffIds.length);
  for (let index = 0; index < length; index++) if (a.diffIds[index] !== b.diffIds[index]) return index;
  return length;
}

/** Where a run of layers begins in an image, at `from` or above; `undefined` where it is nowhere. */
export function findRun(image: LayerList, run: readonly Digest[], from: number): number | undefined {
  if (run.length === 0) return undefined;
  for (let at = from; at + run.length <= image.diffIds.length; at++) {
    if (run.every((diffId, index) => image.diffIds[at + index] === diffId)) return at;
  }
  return undefined;
}

/**
 * Throws `conflict` unless an image begins with all layers of a base and with its history, as a build on that base gives: then
 * what lies above is the image's own.
 */
export function assertStandsOn(image: StoredImage, base: StoredImage): void {
  const [own, below] = [layerList(image), layerList(base)];
  const common = commonLayers(own, below);
  if (common < below.diffIds.length) {
    throw new StkError('conflict', `${image.name} does not stand on ${base.name}`, {
      hint: `name the base that it was built on with --old-base; layer ${common + 1} of it is another`,
      facts: { image: image.name, base: base.name, layer: below.digests[common] ?? '' },
    });
  }
  const written = base.config.history ?? [];
  const shown = image.config.history ?? [];
  const at = written.findIndex(({ created_by: step }, index) => shown[index]?.created_by !== step);
  if (at < 0) return;
  throw new StkError('conflict', `${image.name} has the layers of ${base.name}, but not its history`, {
    hint: `entry ${at + 1} of the history is another: name the base that it was built on with --old-base`,
    facts: { image: image.name, base: base.name, entry: at },
  });
}

/** Throws `conflict` where an image is of another platform than the one that gets its layers. */
export function assertSamePlatform(image: StoredImage, other: StoredImage): void {
  const [own, its] = [formatPlatform(image.config), formatPlatform(other.config)];
  if (own === its) return;
  throw new StkError('conflict', `${image.name} is for ${own}, and ${other.name} for ${its}`, {
    facts: { image: image.name, other: other.name },
  });
}
