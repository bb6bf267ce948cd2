import type { AttachFlags } from '../attest/attach-flags.ts';
import type { SignatureFlags } from '../signature/require-signature.ts';

/** Flags of `build` and `recursive-build`, as commander gives them. */
export interface BuildFlags extends SignatureFlags, AttachFlags {
  readonly cache: boolean;
  readonly substitute: readonly string[];
  readonly substituteFile: readonly string[];
  readonly layerType: readonly ('squashfs' | 'tar')[];
  readonly compression?: string;
  readonly verity: boolean;
  /** False says the same as `verity` does: stacker's name for it. */
  readonly squashfsVerity?: boolean;
  readonly requireHash?: boolean;
  readonly orderOnly?: boolean;
  readonly onRunFailure?: string;
  readonly shellFail?: boolean;
  readonly jobs: string;
  readonly secret: readonly string[];
  readonly metadataFile?: string;
  readonly annotationsNamespace: string;
  readonly cacheFrom?: readonly string[];
  readonly cacheTo?: readonly string[];
  readonly stableIds: boolean;
  readonly renumberLimit?: string;
  readonly kernel?: boolean;
  readonly platform?: readonly string[];
}
