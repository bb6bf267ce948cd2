import type { BlobStore } from '../oci/blob-store.ts';
import { isSameRegistry } from '../oci/store-place.ts';
import type { NewBlob } from './result-form.ts';
import type { UpdatedImage } from './update-image.ts';

/** Bytes of layers that would have to be sent: what the store has, or can take from a neighbour, costs nothing. */
export async function missingBytes(store: BlobStore, updated: UpdatedImage, signal: AbortSignal): Promise<number> {
  let bytes = updated.manifest.bytes.byteLength + updated.config.bytes.byteLength;
  for (const blob of updated.fresh) {
    if (isNeighbour(store, blob) || (await store.hasBlob(blob.descriptor, { signal }))) continue;
    bytes += blob.descriptor.size;
  }
  return bytes;
}

function isNeighbour(store: BlobStore, { from }: NewBlob): boolean {
  return 'blob' in from && isSameRegistry(from.blob.store.place, store.place);
}
