import type { Remark } from '../apply/driver.ts';
import type { RenumberReport } from '../apply/merge-result.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { AppliedEntry, LayerRole } from '../oci/layer-annotations.ts';
import type { ApplyEntry } from '../recipe/model.ts';
import type { KnownBase } from '../sources/bases.ts';
import type { StackLayer } from '../sources/ports.ts';

/** Raised where a merge of the same inputs may give other bytes than before. */
export const MERGE_VERSION = 4;

/** A layer between the base and the steps of an image. */
export interface AppliedLayer {
  readonly layer: StackLayer;
  readonly role: Extract<LayerRole, 'apply' | 'merge'>;
  /** On its descriptor, besides the role. */
  readonly annotations: Readonly<Record<string, string>>;
  /** RFC 3339. */
  readonly created: string;
  readonly createdBy: string;
}

/** A path of the merge layer and what settled it. */
export interface MergedPath {
  /** Absolute, as text. */
  readonly path: string;
  readonly driver: string;
  /** Names of the images that changed it. */
  readonly sides: readonly string[];
}

export interface AppliedLayers {
  /** Bottom up. */
  readonly layers: readonly AppliedLayer[];
  readonly settled: readonly MergedPath[];
  /** The entries, each with how it lies in the image. */
  readonly entries: readonly AppliedEntry[];
  readonly remarks: readonly Remark[];
}

export interface StackParts {
  /** Bottom up. */
  readonly base: readonly StackLayer[];
  /** What lies on the base: the applied layers, then the merge layer. */
  readonly applied: AppliedLayers;
}

/** An entry of `apply` whose image is known. */
export interface KnownApplied {
  readonly entry: ApplyEntry;
  readonly applied: AppliedEntry;
  readonly image: KnownBase;
}

/** What is remembered of a merge; without a layer, the plain stack was right already. */
export interface MergeRecord {
  readonly layer?: Descriptor;
  readonly settled: readonly MergedPath[];
  readonly renumbered: RenumberReport;
  /** What the build says of it, whether or not it is made again. */
  readonly remarks: readonly Remark[];
}
