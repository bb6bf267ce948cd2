import { isStkError } from '../core/errors.ts';
import type { AppliedEntry } from '../oci/layer-annotations.ts';
import { namedBase } from '../sources/bases.ts';
import type { StoredImage, UpdateParts } from './update-plan.ts';

type Part = UpdateParts['applied'][number];

/** Versions of an entry; both throw `not-found` or `usage` where there is none. */
export interface EntryVersions {
  /** The very image that was applied. */
  readonly same: () => Promise<StoredImage>;
  /** What now lies where it came from. */
  readonly next: () => Promise<Part>;
}

/**
 * What an entry is on another base: the very image that was applied where that stands on the base as well, else what now
 * lies where it came from, whether or not it stands there. An entry that takes any base stays without a version that does.
 */
export async function partOnBase(entry: AppliedEntry, base: StoredImage, { same, next }: EntryVersions): Promise<Part> {
  const old = await same().catch(unlessMissing);
  if (old && standsOnBase(old, base)) return { entry, image: old };
  if (old === undefined || !entry.anyBase) return next();
  const found = await next().catch(unlessMissing);
  return found && standsOnBase(found.image, base) ? found : { entry, image: old };
}

function unlessMissing(error: unknown): undefined {
  if (!isStkError(error, 'not-found') && !isStkError(error, 'usage')) throw error;
}

/** Whether an image has all layers of the base at its bottom, or was built on it with other packing options. */
function standsOnBase({ manifest }: StoredImage, base: StoredImage): boolean {
  const isBelow = base.manifest.layers.every(({ digest }, index) => manifest.layers[index]?.digest === digest);
  return isBelow || namedBase(manifest.annotations)?.digest === base.descriptor.digest;
}
