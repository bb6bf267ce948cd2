import type { SourceSpan } from '../core/diagnostics.ts';
import type { Digest } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import type { Platform } from '../oci/descriptor.ts';

/** One recipe file, parsed. Every form a directive may take has been brought into the single form declared here. */
export interface Recipe {
  /** Absolute path or http(s) URL. */
  readonly file: string;
  /** What relative paths resolve against: the file's directory; for a URL the working directory. */
  readonly directory: AbsPath;
  /** The text as read, before substitution. Spans point into it. */
  readonly text: string;
  /** Of `text` as UTF-8. */
  readonly digest: Digest;
  /** In file order; names are unique within the file. */
  readonly images: readonly ImageDefinition[];
  /** Absolute paths or URLs of `config.prerequisites`, in file order. */
  readonly prerequisites: readonly string[];
}

export interface ImageDefinition {
  readonly name: string;
  /** Of the image's name in the file. */
  readonly span: SourceSpan;
  readonly from: Base;
  /** In the order of application. */
  readonly apply: readonly ApplyEntry[];
  readonly imports: readonly Import[];
  readonly overlayDirs: readonly OverlayDir[];
  readonly binds: readonly Bind[];
  /** One script; a list was joined with newlines. `undefined` if there is nothing to run. */
  readonly run: string | undefined;
  /** As `run`. */
  readonly generateLabels: string | undefined;
  readonly buildEnv: Readonly<Record<string, string>>;
  /** Regular expressions that match a whole variable name; `undefined` means the default list. */
  readonly buildEnvPassthrough: readonly string[] | undefined;
  readonly secrets: readonly SecretMount[];
  readonly cacheDirs: readonly CacheDir[];
  readonly network: 'host' | 'none';
  /** Accounts that `run` makes get ids that follow from their names. */
  readonly stableIds: boolean;
  readonly config: ImageSettings;
  /** On the manifest. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly buildOnly: boolean;
  /** In OCI (Go) terms, such as `linux`; `undefined` means the host's. */
  readonly os: string | undefined;
  /** In OCI (Go) terms, such as `amd64`, a variant after a slash; `undefined` means the host's. */
  readonly arch: string | undefined;
  /** What the image is built for where the command line says nothing; at least one. */
  readonly platforms: readonly Platform[] | undefined;
}

/** What a stack begins with. */
export type Base = (ImageReference | TarBase | { readonly type: 'scratch' }) & { readonly span: SourceSpan };

/** An image that exists already or is built by this set of recipes. */
export type ImageReference =
  | {
      readonly type: 'docker';
      /** `docker://host/repository[:tag][@digest]`. */
      readonly url: string;
      /** Plain http, or TLS without verification. */
      readonly insecure: boolean;
    }
  | {
      readonly type: 'oci';
      /** As written, `dir:tag`. */
      readonly url: string;
      readonly directory: AbsPath;
      readonly tag: string;
    }
  | { readonly type: 'built'; readonly image: string };

export interface TarBase {
  readonly type: 'tar';
  readonly source: FileSource;
}

/** Where bytes come from. */
export type FileSource =
  | { readonly type: 'path'; readonly path: AbsPath }
  | { readonly type: 'http'; readonly url: string }
  /** A file or directory of another image's root filesystem; `path` is absolute in that image and normalised. */
  | { readonly type: 'image'; readonly image: string; readonly path: string };

export const CONFLICT_RESOLUTIONS = ['error', 'first', 'last', 'newer', 'merge', 'regenerate', 'renumber'] as const;
/** How a path is settled that applied images changed differently. */
export type ConflictResolution = (typeof CONFLICT_RESOLUTIONS)[number];

export function isConflictResolution(text: string | undefined): text is ConflictResolution {
  return CONFLICT_RESOLUTIONS.some(resolution => resolution === text);
}

export interface ApplyEntry {
  readonly reference: ImageReference;
  /** In file order; the first rule whose glob matches a path decides. */
  readonly conflicts: readonly { readonly glob: string; readonly resolution: ConflictResolution }[];
  /** Accept an image that was built on another base than this one. */
  readonly anyBase: boolean;
  readonly span: SourceSpan;
}

export interface Import {
  readonly source: FileSource | { readonly type: 'content'; readonly content: string };
  /** Name below the mount point: the base name of the source. */
  readonly name: string;
  /** Where imports are seen during `run`; `/stacker` is that of the deprecated `import`. */
  readonly mountPoint: '/stacker/imports' | '/stacker';
  /** Source was written with a trailing slash: with `dest`, a directory's contents are meant. */
  readonly trailingSlash: boolean;
  /** Expected digest of the file, or of every file of a directory as defined by the importer. */
  readonly hash: Digest | undefined;
  /** Absolute path in the image, as written: a trailing slash means "into this directory". */
  readonly dest: string | undefined;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly span: SourceSpan;
}

export interface OverlayDir {
  readonly source: AbsPath;
  /** Absolute and normalised; `/` by default. */
  readonly dest: string;
  readonly span: SourceSpan;
}

export interface Bind {
  readonly source: AbsPath;
  /** Absolute and normalised. */
  readonly dest: string;
  /** Whether the content takes part in the cache key. */
  readonly cache: 'hash' | 'ignore';
  readonly span: SourceSpan;
}

export interface SecretMount {
  readonly id: string;
  /** Absolute path during `run`. */
  readonly dest: string;
  /** Name of a variable that holds the value as well. */
  readonly env: string | undefined;
  readonly span: SourceSpan;
}

export interface CacheDir {
  /** Absolute path during `run`. */
  readonly path: string;
  /** Directories with one id share their content; the path by default. */
  readonly id: string;
  /** `shared`: concurrent steps use it at once; `locked`: one after the other; `private`: each its own. */
  readonly sharing: 'shared' | 'locked' | 'private';
  readonly span: SourceSpan;
}

/** What the image's configuration says; `undefined` and missing keys are inherited from the base. */
export interface ImageSettings {
  readonly environment: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly volumes: readonly string[];
  readonly workingDir: string | undefined;
  readonly runtimeUser: string | undefined;
  readonly cmd: readonly string[] | undefined;
  readonly entrypoint: readonly string[] | undefined;
  /** The whole entrypoint; clears cmd. */
  readonly fullCommand: readonly string[] | undefined;
}
