import type { ConflictRule } from '../apply/merge-problem.ts';
import type { AbsPath } from '../core/paths.ts';
import type { Platform } from '../oci/descriptor.ts';
import type { ImageState, PartState } from './image-state.ts';

/** What a fleet file says, with its defaults filled in (schemas/fleet.schema.json). */
export interface Fleet {
  readonly file: AbsPath;
  readonly images: readonly FleetImages[];
  /** Names of entries with where the new version is, `undefined`: where the image says; `all`: whatever is applied. */
  readonly apply: ReadonlyMap<string, string | undefined> | 'all';
  readonly base: boolean;
  readonly conflicts: readonly ConflictRule[];
  readonly limits: FleetLimits;
  readonly canary: FleetCanary | undefined;
  /** Paths as written. */
  readonly signKey: string | undefined;
  readonly require: { readonly keys: readonly string[]; readonly policy: string | undefined };
  readonly tlsVerify: boolean;
  /** Narrows what is moved further than a file can say. */
  readonly isWanted?: ((image: ImageState, part: PartState) => boolean) | undefined;
}

export interface FleetLimits {
  readonly parallel: number;
  /** `undefined`: no limit. */
  readonly images: number | undefined;
  readonly failures: number;
  /** As `--renumber-limit` takes it. */
  readonly renumber: string | undefined;
}

export interface FleetCanary {
  readonly images: number;
  readonly check: string;
}

/** Images of one place, chosen by their tags. */
export interface FleetImages {
  /** `docker://HOST/REPOSITORY` with globs, or `oci:DIR`. */
  readonly from: string;
  /** Globs. */
  readonly tags: readonly string[];
  readonly newest: number | undefined;
  /** Globs of `TAG` or `REPOSITORY:TAG`. */
  readonly exclude: readonly string[];
  /** Of indexes; none: all. */
  readonly platforms: readonly Platform[];
  /** Template of the new version's tag; `undefined`: the image's own. */
  readonly tag: string | undefined;
  readonly move: 'always' | 'wait';
}
