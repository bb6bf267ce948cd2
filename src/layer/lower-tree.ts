import type { TarEntry } from './tar-entry.ts';

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
  /** As `TarEntry` has it. */
  readonly lostAcl?: boolean;
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

/** A node of the lower tree that is no directory, to be put into a layer above. */
export interface LowerLeaf {
  /** Of its content, holes included; 0 for all but files. */
  readonly sizeBytes: number;
  /** Where it points, for symlinks. */
  readonly target?: string;
  /** Equal for all names of one node; absent where it has only one. */
  readonly identity?: string;
  /** All of it but its path, which is empty. */
  entry(): Promise<TarEntry>;
  /** The bytes that such an entry stores: without its holes. */
  content(entry: TarEntry): AsyncIterable<Uint8Array>;
}

/** A lower tree that tells what it holds as well. */
export interface LowerContent extends LowerLookup {
  /** `undefined` for a directory too. A socket, which no layer can hold, is `unsupported`. */
  leaf(path: string): Promise<LowerLeaf | undefined>;
}

/** Nothing below: the tree under a first layer. */
export const emptyLower: LowerContent = {
  isDirectory: async path => path === '',
  lookup: async () => undefined,
  leaf: async () => undefined,
};
