import type { MergedNode } from '../squashfs/layer-stack.ts';
import type { RenumberedAccount } from '../oci/layer-annotations.ts';
import type { ConflictReason, DriverName, MergedAttributes, Remark } from './driver.ts';

/** What a merge layer does at one path. Paths are byte strings in the form of `imagePath`. */
export type MergeEntry =
  /** Deletes what the plain stack shows. */
  | { readonly type: 'delete'; readonly path: string }
  /** A side's node (position in `sides`; -1 is the ancestor), attributes, xattrs and content included. */
  | { readonly type: 'node'; readonly path: string; readonly side: number; readonly node: MergedNode }
  /** A regular file with merged content, or a directory or other node with merged attributes. */
  | {
      readonly type: 'merged';
      readonly path: string;
      /** Where type, target and device numbers come from, and content where `bytes` is missing. */
      readonly like: { readonly side: number; readonly node: MergedNode };
      readonly bytes?: Uint8Array;
      readonly attributes: MergedAttributes;
    };

/** A path that the merge settled, for `inspect` and metadata. */
export interface SettledPath {
  readonly path: string;
  readonly driver: DriverName;
  /** Names of the sides that changed it. */
  readonly sides: readonly string[];
}

export interface MergeConflict extends ConflictReason {
  readonly path: string;
  /** Who would have to decide: the driver that was asked, `undefined` where no driver knows the path. */
  readonly driver: DriverName | undefined;
  /** Names of the sides, with what each did, such as `changed the content` or `deleted it`. */
  readonly sides: readonly { readonly name: string; readonly did: string }[];
}

/** Accounts that a merge has given other ids, and what that takes. */
export interface RenumberReport {
  readonly accounts: readonly RenumberedAccount[];
  /** Files that the merge layer holds because of that, and bytes of their contents, each file once. */
  readonly paths: number;
  readonly bytes: number;
}

export interface MergeResult {
  /** Parents before children, paths ascending by bytes; empty where the plain stack is right already. */
  readonly entries: readonly MergeEntry[];
  readonly settled: readonly SettledPath[];
  /** Programs of the image to run in the merged tree, each once, with the paths that they make. */
  readonly regenerate: readonly { readonly command: readonly string[]; readonly paths: readonly string[] }[];
  /** Accounts that got other ids, and what that takes. */
  readonly renumbered: RenumberReport;
  /** Each once, in the order in which they were made. */
  readonly remarks: readonly Remark[];
  /** All of them; where there is one, the rest of the result means nothing. */
  readonly conflicts: readonly MergeConflict[];
}
