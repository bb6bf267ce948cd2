import type { ConflictReason, DriverName, MergedAttributes } from './driver.ts';
import type { TreeNode } from './tree-versions.ts';

/** What the merged tree has at a path. */
export type Desired =
  /** A node of a tree as it is; position -1 is the ancestor. Nothing where the tree has nothing. */
  | { readonly type: 'node'; readonly side: number; readonly at: TreeNode }
  | {
      readonly type: 'merged';
      readonly side: number;
      readonly at: TreeNode;
      readonly bytes: Uint8Array | undefined;
      readonly attributes: MergedAttributes;
    }
  | { readonly type: 'absent' }
  | { readonly type: 'regenerate'; readonly command: readonly string[] };

export interface Settlement {
  readonly desired: Desired;
  /** Positions of the sides that changed the path. */
  readonly changed: readonly number[];
  /** What settled it; `undefined` where there was nothing to settle. */
  readonly driver: DriverName | undefined;
  /** Nodes that are known to be the same as the desired one. */
  readonly same?: readonly TreeNode[];
  /** Everything below the path is as in the desired tree, or gone with it. */
  readonly whole?: boolean;
}

export interface Unsettled {
  readonly changed: readonly number[];
  readonly driver: DriverName | undefined;
  readonly conflict: ConflictReason;
}

/** One path in every tree. */
export interface Place {
  readonly path: string;
  readonly ancestor: TreeNode;
  /** Sides that may differ from the ancestor, ascending; the others are like it. */
  readonly sides: ReadonlyMap<number, TreeNode>;
  /** The driver that had trees looked at in other places for this path. */
  readonly movedBy?: DriverName | undefined;
}

/** The side that a package database gives a path to. */
export interface Owner {
  readonly side: number;
  readonly driver: DriverName;
}
