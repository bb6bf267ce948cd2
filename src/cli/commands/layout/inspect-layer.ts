import type { Digest } from '../../../core/digest.ts';
import type { Descriptor } from '../../../oci/descriptor.ts';
import {
  APPLY_DIGEST,
  APPLY_NAME,
  APPLY_REF,
  LAYER_ROLE,
  MERGE_COUNT,
  MERGE_PATHS,
  MERGE_REMARKS,
  VERITY_ROOT,
  MERGE_RENUMBERED,
  parseMergedPaths,
  parseRenumbered,
  type RenumberedAccount,
  parseRemarks,
} from '../../../oci/layer-annotations.ts';

/** One layer of an image, as its annotations tell of it. */
export interface InspectedLayer {
  /** `layer` where nobody says. */
  readonly role: string;
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
  readonly verityRoot: string | undefined;
  readonly createdBy: string | undefined;
  /** Other images of the layout that hold the same blob. */
  readonly sharedWith: readonly string[];
  /** The image that an applied layer came with. */
  readonly apply?: { readonly name: string; readonly ref: string | undefined; readonly digest: string | undefined };
  /** Paths that a merge or update layer settled and the driver that did; the list may be cut. */
  readonly merged?: readonly (readonly [path: string, driver: string])[];
  /** How many there are. */
  readonly mergedCount?: number;
  /** Accounts that got other ids in a merge or update layer. */
  readonly renumbered?: readonly RenumberedAccount[];
  /** What a person should know of the merge. */
  readonly remarks?: readonly string[];
}

export function inspectLayer(
  layer: Descriptor,
  known: { readonly createdBy: string | undefined; readonly sharedWith: readonly string[] },
): InspectedLayer {
  const { digest, mediaType, size, annotations = {} } = layer;
  const name = annotations[APPLY_NAME];
  const paths = annotations[MERGE_PATHS];
  const merged = paths === undefined ? undefined : parseMergedPaths(paths);
  const count = Number(annotations[MERGE_COUNT]);
  const renumbered = parseRenumbered(annotations[MERGE_RENUMBERED] ?? '[]');
  const remarks = parseRemarks(annotations[MERGE_REMARKS] ?? '[]');
  return {
    role: annotations[LAYER_ROLE] ?? 'layer',
    digest,
    mediaType,
    size,
    verityRoot: annotations[VERITY_ROOT],
    ...known,
    ...(name === undefined ? {} : { apply: { name, ref: annotations[APPLY_REF], digest: annotations[APPLY_DIGEST] } }),
    ...(renumbered.length === 0 ? {} : { renumbered }),
    ...(merged === undefined
      ? {}
      : { merged, mergedCount: Number.isSafeInteger(count) ? Math.max(count, merged.length) : merged.length }),
    ...(remarks.length === 0 ? {} : { remarks }),
  };
}
