import type { BlobReader } from '../core/blob-reader.ts';
import { StkError } from '../core/errors.ts';
import { openFileReader } from '../host/file-reader.ts';
import { stat } from '../host/files.ts';
import type { FarPlace } from './far-place.ts';
import type { BlobToServe } from './serve-spec.ts';
import { openVerified, type ExpectedBlob } from './verified-reader.ts';

/** Opens a blob that is fetched as it is read; what the reader gives is checked. */
export type OpenFar = (place: FarPlace, blob: ExpectedBlob, signal: AbortSignal) => Promise<BlobReader>;

/**
 * Opens what a server shows under a name: the one place that knows where blobs lie. The caller disposes the reader, which
 * gives out checked bytes only, unless the specification says otherwise. Throws as `openVerified` and `OpenFar`.
 */
export async function openServedBlob(
  blob: BlobToServe,
  { signal, openFar }: { readonly signal: AbortSignal; readonly openFar?: OpenFar | undefined },
): Promise<BlobReader> {
  const isHere = (await stat(blob.path).catch(() => undefined))?.size === blob.sizeBytes;
  if (blob.far && !isHere) {
    if (openFar) return openFar(blob.far, blob, signal);
    throw new StkError('unsupported', `${blob.name} is not on this machine, and this server fetches nothing`);
  }
  const reader = await openFileReader(blob.path);
  return blob.unchecked ? reader : openVerified(reader, blob, signal);
}
