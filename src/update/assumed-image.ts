import { isDigest, type Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import { APPLY_LIST, baseConfigAnnotation, type AppliedEntry, type LayerRole } from '../oci/layer-annotations.ts';
import { baseAnnotations } from '../sources/bases.ts';
import { withRole } from '../sources/layer-descriptor.ts';
import type { ForeignSwap, PartsFinder } from './find-parts.ts';
import {
  assertSamePlatform,
  assertStandsOn,
  commonLayers,
  findRun,
  layerList,
  type LayerList,
} from './found-layers.ts';
import type { StoredImage, UpdateParts } from './update-plan.ts';
import { baseName } from './part-places.ts';
import { roleOf } from './update-segments.ts';

/** An image that is taken for one that says what it is made of, and what it is made of next. */
export interface AssumedImage {
  readonly image: StoredImage;
  readonly parts: UpdateParts;
}

/** A run of layers of an image, from one place to before another. */
interface Run {
  readonly start: number;
  readonly end: number;
}

/**
 * Finds layers of others in an image and takes it for one that applies them, or stands on them. Throws `conflict` where they are
 * not there, or the image is not what it should be; `not-found` as `PartsFinder` does.
 * @param image where it lies
 * @param work the same as squashfs
 */
export async function assumeImage(
  finder: PartsFinder,
  image: StoredImage,
  work: StoredImage,
  swap: Exclude<ForeignSwap, { kind: 'adopt' }>,
): Promise<AssumedImage> {
  if (image.manifest.annotations?.[APPLY_LIST] !== undefined) {
    throw new StkError('usage', `${image.name} says what it applies`, {
      hint: 'swap that by its name: --apply NAME[=REF], --base [REF]',
    });
  }
  return swap.kind === 'rebase' ? rebase(finder, image, work, swap) : replace(finder, image, work, swap);
}

async function rebase(
  finder: PartsFinder,
  image: StoredImage,
  work: StoredImage,
  swap: Extract<ForeignSwap, { kind: 'rebase' }>,
): Promise<AssumedImage> {
  const named = swap.oldBase === undefined || swap.newBase === undefined ? await finder.namedBaseOf(image) : undefined;
  const oldBase = await (swap.oldBase === undefined
    ? finder.lookedAt(image, named!.ref, named!.digest)
    : finder.lookedAt(image, swap.oldBase));
  assertStandsOn(image, oldBase);
  const ref = swap.newBase ?? named!.ref;
  const base = await finder.named(image, ref, `${image.name} is to stand on ${ref}`);
  assertSamePlatform(image, base);
  const height = oldBase.manifest.layers.length;
  const told = withRoles(work, index => (index < height ? 'base' : ownRole(work, index)));
  const assumed = {
    ...told,
    manifest: {
      ...told.manifest,
      annotations: {
        ...work.manifest.annotations,
        ...baseAnnotations({ name: baseName(oldBase.name), digest: oldBase.descriptor.digest }),
        ...baseConfigAnnotation(oldBase.config.config),
      },
    },
  };
  const oldBaseSettings = oldBase.config.config ?? {};
  return { image: assumed, parts: { base: { ...base, name: baseName(ref) }, oldBaseSettings, applied: [] } };
}

async function replace(
  finder: PartsFinder,
  image: StoredImage,
  work: StoredImage,
  swap: Extract<ForeignSwap, { kind: 'replace' }>,
): Promise<AssumedImage> {
  const own = layerList(image);
  const found = [];
  for (const { old, ref } of swap.layers) {
    const next = await finder.named(image, ref, `${old} in ${image.name} is to become ${ref}`);
    const run = isDigest(old) ? layerRun(own, old) : imageRun(own, await finder.lookedAt(image, old), next);
    assertSamePlatform(image, next);
    const entry: AppliedEntry = { name: ref, ref, digest: next.descriptor.digest, anyBase: true, conflicts: [] };
    found.push({ run, part: { entry, image: next } });
  }
  const sorted = found.toSorted((a, b) => a.run.start - b.run.start);
  const [first] = sorted;
  const end = sorted.at(-1)!.run.end;
  for (const [index, { run }] of sorted.entries()) {
    if (index === 0 || run.start === sorted[index - 1]!.run.end) continue;
    throw new StkError('unsupported', `${image.name} has other layers between those that are to be replaced`, {
      hint: 'replace them one after the other',
    });
  }
  const role = (index: number): LayerRole => {
    if (index < first!.run.start) return 'base';
    return index < end ? 'apply' : ownRole(work, index, index === end);
  };
  return {
    image: withRoles(work, role),
    parts: { base: undefined, applied: sorted.map(({ part }) => part), unrecorded: true },
  };
}

/** What an update made of an image before is told apart: it is made anew, not kept. */
function ownRole({ manifest: { layers } }: StoredImage, index: number, mayMerge = false): LayerRole {
  const role = roleOf(layers[index]!);
  if (role === 'update' && index === layers.length - 1) return role;
  if (role === 'merge' && mayMerge) return role;
  return role === undefined || role === 'base' || role === 'apply' || role === 'merge' || role === 'update'
    ? 'run'
    : role;
}

function withRoles(image: StoredImage, role: (index: number) => LayerRole): StoredImage {
  const { manifest } = image;
  const layers = manifest.layers.map((layer, index) => {
    const is = role(index);
    return roleOf(layer) === is ? layer : withRole(layer, is);
  });
  return { ...image, manifest: { ...manifest, layers } };
}

function layerRun(image: LayerList, digest: Digest): Run {
  const at = image.digests.indexOf(digest);
  const start = at < 0 ? image.diffIds.indexOf(digest) : at;
  if (start >= 0) return { start, end: start + 1 };
  throw new StkError('conflict', `${image.name} has no layer ${digest}`, {
    hint: `its layers are: ${image.digests.join(', ')}`,
    facts: { digest },
  });
}

/** What an image has above its base: above what it says to be its base, or has in common with what replaces it. */
function imageRun(image: LayerList, held: StoredImage, next: StoredImage): Run {
  const old = layerList(held);
  const told = held.manifest.layers.findIndex(layer => roleOf(layer) !== 'base');
  const shared = Math.max(told, commonLayers(old, layerList(next)));
  const run = old.diffIds.slice(shared);
  const start = findRun(image, run, shared);
  if (shared === 0 && start === 0) {
    throw new StkError('conflict', `${image.name} stands on ${old.name}, all of which ${next.name} replaces`, {
      hint: `swap a base with --rebase --old-base ${old.name} --new-base ${next.name}`,
    });
  }
  if (start !== undefined) return { start, end: start + run.length };
  throw new StkError('conflict', `${image.name} does not hold the layers of ${old.name}`, {
    hint: 'name the very version that it holds, by a tag or digest, or one layer of the image by its digest',
    facts: { image: image.name, old: old.name },
  });
}
