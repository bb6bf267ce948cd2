import type { AbsPath } from '../core/paths.ts';
import type { LayerType } from './layer-types.ts';
import type { PackOptions } from '../layer/pack-options.ts';
import type { Platform } from '../oci/descriptor.ts';

/** A value for a `secrets` entry of a recipe, from `--secret id=…`. */
export type SecretSource =
  { readonly type: 'file'; readonly path: AbsPath } | { readonly type: 'value'; readonly value: string | Uint8Array };

/** What `stk build` was asked for, apart from the recipes themselves. */
export interface BuildOptions {
  /** Only these images and what they need; all where empty. */
  readonly names: readonly string[];
  readonly useCache: boolean;
  /** The first is tagged NAME, each further one NAME-TYPE. */
  readonly layerTypes: readonly LayerType[];
  readonly packing: PackOptions;
  readonly requireHash: boolean;
  /** Images built side by side. */
  readonly jobs: number;
  readonly secrets: ReadonlyMap<string, SecretSource>;
  /** SOURCE_DATE_EPOCH in seconds. */
  readonly epochSeconds: number | undefined;
  /** The caller's environment, for `build_env_passthrough`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** What images are built for, this host's where nobody says more; `os` and `arch` of a recipe win. */
  readonly platform: Platform;
  /** Accounts that steps make get ids by their names, unless an image says otherwise. */
  readonly stableIds: boolean;
  /** Contents that a merge layer may hold for nothing but their owners. */
  readonly renumberLimitBytes: number;
  /** Prefix of the manifest annotations, `io.stackeroci` by default. */
  readonly annotationsNamespace: string;
  /** Version of stk, for the annotations. */
  readonly version: string;
}
