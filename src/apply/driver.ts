import type { ConflictResolution } from '../recipe/model.ts';
import type { LayerStack, MergedNode } from '../squashfs/layer-stack.ts';
import type { Xattrs } from '../squashfs/xattrs.ts';
import type { AccountIds } from './accounts/account-ids.ts';

/** What one tree has at a path. */
export interface Version {
  /** `undefined`: nothing there. */
  readonly node: MergedNode | undefined;
  /** Content of a regular file; `invalid-input` for anything else, `unsupported` beyond `maxBytes` (default 64 MiB). */
  read(maxBytes?: number): Promise<Buffer>;
  /** Without those that overlayfs keeps for itself. */
  xattrs(): Promise<Xattrs>;
}

/** A side that changed the path relative to the ancestor. */
export interface SideVersion extends Version {
  /** As reports call it. */
  readonly name: string;
  /** Position among the problem's sides: its place in the order of application. */
  readonly side: number;
}

/** One path that several sides changed and left different from each other. */
export interface PathVersions {
  /** In the form of `imagePath`, as a byte string (latin1). */
  readonly path: string;
  readonly ancestor: Version;
  /** At least two, in the order of application, those that agree with each other included. */
  readonly sides: readonly SideVersion[];
  /** What the recipe asks for, if any of its rules matches: `newer`, `merge` or `regenerate`. */
  readonly wish: ConflictResolution | undefined;
}

/** How a driver settles a path. */
export type Outcome =
  /** One side's node, whole. */
  | { readonly type: 'take'; readonly side: number }
  /** A regular file with this content; mode, owners and xattrs are merged attribute by attribute. */
  | { readonly type: 'content'; readonly bytes: Uint8Array }
  /** Nothing: harmless to do without, and made again where it is needed. */
  | { readonly type: 'drop' }
  /** Made anew by a program of the image, in the merged tree, as root: an argument vector with an absolute path. */
  | { readonly type: 'regenerate'; readonly command: readonly string[] }
  /** The user has to decide. */
  | { readonly type: 'conflict'; readonly conflict: ConflictReason };

export interface ConflictReason {
  /** One sentence that names what clashes and the sides by name. */
  readonly message: string;
  /** Lines that show the clash, such as a conflict hunk. */
  readonly excerpt?: string;
  /** Rules that would settle it, the best first; `error` never. */
  readonly remedies: readonly ConflictResolution[];
  /**
   * The sides hold packages that cannot be installed together. Whatever else they differ in follows from that, or is of no
   * use before it is settled, so it is reported alone.
   */
  readonly excludes?: true;
}

/** What a driver can look at besides the path that it merges. */
export interface MergeContext {
  readonly ancestor: LayerStack | undefined;
  readonly sides: readonly { readonly name: string; readonly tree: LayerStack | undefined }[];
  /** Ids of accounts in the merged tree; the sides' trees show owners by them. */
  readonly accounts?: AccountIds | undefined;
  /** The rule of the recipe for a path, whether or not it is in conflict. */
  readonly ruleFor: (path: string) => ConflictResolution | undefined;
  /** Every tree's state of another path, the sides in their order, unchanged ones too. */
  readonly versionsOf: (
    path: string,
  ) => Promise<{ readonly ancestor: Version; readonly sides: readonly SideVersion[] }>;
  /** Whether programs of the image can be run; a driver that has another way then takes it. */
  readonly mayRun: boolean;
  readonly signal?: AbortSignal | undefined;
}

export const DRIVER_NAMES = [
  'dpkg',
  'apk',
  'rpm',
  'accounts',
  'identities',
  'generated',
  'logs',
  'attributes',
  'text',
  'rule',
  'layers',
] as const;
/** `rule`: the recipe's own; `layers`: no conflict, but the plain stack shows something else than the merged tree. */
export type DriverName = (typeof DRIVER_NAMES)[number];

/** Knows how to bring versions of certain files together. Stateless: one instance serves every merge. */
export interface MergeDriver {
  readonly name: DriverName;
  /** Whether the path is this driver's by its name; the first driver that says so is asked and nobody else. */
  claims(path: string): boolean;
  /** Settles one path that it claims. Damaged files are a `conflict` that says what is wrong with whose. */
  merge(versions: PathVersions, context: MergeContext): Promise<Outcome>;
  /** Called once before the paths are looked at: what the database as a whole says of other files. */
  survey?(context: MergeContext): Promise<Survey>;
  /**
   * Called once all is settled, without conflicts: what files of its own have to be because of what became of others. At
   * most one outcome for a path; `content`, `drop` and `regenerate` alone. Content takes the attributes of what is there.
   */
  revise?(merged: MergedView, context: MergeContext): Promise<readonly Revision[]>;
}

export interface Revision {
  /** Without symlinks on the way to it. */
  readonly path: string;
  readonly outcome: Extract<Outcome, { type: 'content' | 'drop' | 'regenerate' }>;
}

/** Something about a merge that a person should know, besides which paths were settled. */
export interface Remark {
  readonly level: 'info' | 'warning';
  /** One sentence without its period, with the names of the sides. */
  readonly text: string;
}

/** What a package database says of files that belong together. */
export interface Survey {
  /**
   * Paths that must come from one side whatever the other says, such as all files of the package version that won.
   * Values are positions of sides.
   */
  readonly owners: ReadonlyMap<string, number>;
  /**
   * Files that their driver merges also where a single side changed them, or all alike, because other files of other sides
   * have a say. Only content that it makes counts then.
   */
  readonly joint?: ReadonlySet<string>;
  /**
   * Files that some trees have under another name than the merged tree will, such as those that a package diverts. By the
   * path in the merged tree, and by the position of the tree (-1: the ancestor): where that tree has it; `undefined`: it has
   * nothing that belongs there. Never directories.
   */
  readonly elsewhere?: ReadonlyMap<string, ReadonlyMap<number, string | undefined>>;
  /** Further paths to look at, whoever names them. */
  readonly visited?: ReadonlySet<string>;
  readonly remarks?: readonly Remark[];
  /** Conflicts of the database itself, each reported once, with the path that it is filed under. */
  readonly conflicts: readonly {
    readonly path: string;
    readonly sides: readonly number[];
    readonly reason: ConflictReason;
  }[];
}

/** What the plain stack and a merge layer show together; files that are made anew are as they were. */
export interface MergedView {
  /** Paths that the plain stack shows and the merged tree does not have. */
  readonly deleted: readonly string[];
  isMadeAnew(path: string): boolean;
  /** The node at a path, symlinks on the way to it followed, and itself if `follow` says so; `undefined` for none. */
  find(path: string, follow: boolean): Promise<MergedPlace | undefined>;
}

export interface MergedPlace {
  /** Where it lies, symlinks followed, as a byte string in the form of `imagePath`. */
  readonly path: string;
  readonly node: MergedNode;
  /** Content of a regular file, also what the merge made of it. */
  readonly read: (maxBytes: number) => Promise<Buffer>;
  readonly attributes: () => Promise<MergedAttributes>;
}

export interface MergedAttributes {
  /** Permission bits alone, set-id and sticky bits included. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}
