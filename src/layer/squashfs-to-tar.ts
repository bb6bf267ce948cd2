import type { Digest, DiffId } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import type { TarCompression } from '../oci/media-types.ts';

export interface ConvertSquashfsRequest {
  readonly input: AbsPath;
  /** The file to create; removed again on failure. */
  readonly output: AbsPath;
  readonly compression: TarCompression;
  readonly signal?: AbortSignal | undefined;
  /** Receives the count of uncompressed bytes so far. */
  readonly onProgress?: (doneBytes: number) => void;
}

export interface TarLayerBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly diffId: DiffId;
}

/** Converts a squashfs layer to a tar layer; the same input gives the same bytes on every machine. */
export async function convertSquashfsLayer(_request: ConvertSquashfsRequest): Promise<TarLayerBlob> {
  throw new Error('not implemented');
}
