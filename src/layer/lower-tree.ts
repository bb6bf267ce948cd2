/**
 * What the layers below a new layer hold. Paths are canonical (`imagePath`): no leading slash, the root is the empty
 * string; their bytes are decoded as latin1, so that names which are not UTF-8 survive.
 */
export interface LowerTree {
  /** Whether the merged view of the lower layers has a directory at this path, every component of it being one. */
  isDirectory(path: string): Promise<boolean>;
}

/** Owner, mode, time and xattrs of a directory. Time in whole seconds since the Unix epoch; xattr names are latin1. */
export interface DirectoryAttributes {
  /** Permission bits alone, set-id and sticky bits included. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSeconds: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** One node of the merged lower tree. A symlink's target is latin1-decoded. */
export type LowerNode =
  | { readonly type: 'directory'; readonly attributes: DirectoryAttributes }
  | { readonly type: 'symlink'; readonly target: string }
  | { readonly type: 'other' };

/** A lower tree that can be asked for one path, without following a symlink in its last component or any before it. */
export interface LowerLookup extends LowerTree {
  lookup(path: string): Promise<LowerNode | undefined>;
}

/** Nothing below: the tree under a first layer. */
export const emptyLower: LowerLookup = {
  isDirectory: async path => path === '',
  lookup: async () => undefined,
};
