import type { ConflictResolution } from '../recipe/model.ts';
import type { LayerStack } from '../squashfs/layer-stack.ts';
import type { SquashfsReader } from '../squashfs/squashfs-reader.ts';

/** One of the trees that are merged: what a group of layers makes of the common ancestor. */
export interface MergeSide {
  /** How reports call it: the name of an applied image, or of the layers that stay in an update. */
  readonly name: string;
  /** The whole tree of this side, the ancestor's layers included. `undefined`: no layer at all. */
  readonly tree: LayerStack | undefined;
  /**
   * Layers whose entries name every path at which `tree` may differ from the ancestor, bottom up: the group's own, and in
   * an update those that it no longer has as well.
   */
  readonly layers: readonly SquashfsReader[];
  /** What the recipe says of conflicts in which this side takes part, by glob; the first that matches decides. */
  readonly rules: readonly ConflictRule[];
}

/** A rule of `conflicts:` in a recipe. Globs match absolute paths, names that begin with a dot included. */
export interface ConflictRule {
  readonly glob: string;
  readonly resolution: ConflictResolution;
}

/**
 * Trees that grew from one ancestor, and what a plain stack of their layers shows. The merge layer is what makes the
 * plain stack show the merged tree. Trees and layers belong to the caller and may share readers.
 */
export interface MergeProblem {
  /** `undefined`: nothing, as below `from: scratch`. */
  readonly ancestor: LayerStack | undefined;
  /** In the order of application, which `first` and `last` mean. */
  readonly sides: readonly MergeSide[];
  /** The layers as they lie on each other without a merge layer. */
  readonly plain: LayerStack | undefined;
  /** The version of the image that the result is going to replace. */
  readonly previous?: PreviousImage | undefined;
}

export interface PreviousImage {
  readonly tree: LayerStack | undefined;
  /** Accounts whose ids a merge has chosen. */
  readonly chosen: Readonly<Record<'user' | 'group', ReadonlySet<string>>>;
}
