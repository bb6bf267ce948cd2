import type { DiffId } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import type { TarCompression } from '../oci/media-types.ts';
import type { LayerBlob } from './layer-blob.ts';
import type { LowerLookup } from './lower-tree.ts';
import type { PackOptions } from './pack-options.ts';

export interface ConvertTarRequest {
  /** Bytes as they lie in the store, verified by the caller. Called again where a second pass is needed. */
  readonly source: () => AsyncIterable<Uint8Array>;
  readonly compression: TarCompression;
  /** The file to create; removed again on failure. */
  readonly output: AbsPath;
  readonly options: PackOptions;
  readonly lower: LowerLookup;
  /** Largest total of file content that is accepted, holes included; a guard against bombs. */
  readonly maxContentBytes?: number;
  readonly signal?: AbortSignal | undefined;
  /** Receives the count of compressed bytes read so far. */
  readonly onProgress?: (doneBytes: number) => void;
}

export interface ConvertedLayer extends LayerBlob {
  /** Digest of the uncompressed tar, for the caller to compare with the image's config. */
  readonly diffId: DiffId;
  /** Whether what was written depends on the lower layers, so that it must not be remembered by the tar's digest alone. */
  readonly dependsOnLower: boolean;
}

/** Converts one tar layer to a squashfs layer as a stream. */
export async function convertTarLayer(_request: ConvertTarRequest): Promise<ConvertedLayer> {
  throw new Error('not implemented');
}
