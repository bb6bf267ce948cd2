import type { Digest } from '../core/digest.ts';

/** A finished layer file. */
export interface LayerBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Root hash of the appended dm-verity tree, 64 lower-case hex digits; absent where verity was not wanted. */
  readonly verityRoot?: string;
}
