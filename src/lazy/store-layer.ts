import type { BlobReader } from '../core/blob-reader.ts';
import { StkError } from '../core/errors.ts';
import { openFileReader } from '../host/file-reader.ts';
import { openVerified } from './verified-reader.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { VERITY_ROOT } from '../oci/layer-annotations.ts';
import { layerFormat } from '../oci/media-types.ts';
import { openSquashfs, type SquashfsReader } from '../squashfs/squashfs-reader.ts';
import { RangeReader, type RangeSource } from './range-reader.ts';

/**
 * Opens a squashfs layer where it lies: the file of a layout, or by ranges of a registry's blob. What comes from a
 * registry is checked block by block against the verity root in its descriptor; a layer without one is read as a whole
 * first. Throws `unsupported` for tar layers and stores that can do neither, and what opening the image throws. The
 * caller disposes the result.
 */
export async function openStoreLayer(
  store: BlobStore,
  descriptor: Descriptor,
  signal?: AbortSignal,
): Promise<SquashfsReader> {
  if (layerFormat(descriptor.mediaType).kind !== 'squashfs') {
    throw new StkError('unsupported', `${store.name}: layer ${descriptor.digest} is ${descriptor.mediaType}`, {
      hint: 'only squashfs layers can be read in place: stk convert makes them',
      facts: { digest: descriptor.digest, mediaType: descriptor.mediaType },
    });
  }
  return openSquashfs(await openBlob(store, descriptor, signal), signal);
}

async function openBlob(
  store: BlobStore,
  descriptor: Descriptor,
  signal: AbortSignal | undefined,
): Promise<BlobReader> {
  if (store.blobPath) return openFileReader(store.blobPath(descriptor.digest));
  if (!hasRanges(store)) {
    throw new StkError('unsupported', `${store.name}: layers cannot be read without unpacking`, {
      hint: 'publish the image into a layout first',
    });
  }
  const verityRoot = descriptor.annotations?.[VERITY_ROOT];
  const expected = { digest: descriptor.digest, sizeBytes: descriptor.size };
  const reader = new RangeReader(store, descriptor);
  return openVerified(reader, verityRoot === undefined ? expected : { ...expected, verityRoot }, signal);
}

function hasRanges(store: BlobStore): store is BlobStore & RangeSource {
  return 'readBlobRange' in store && typeof store.readBlobRange === 'function';
}
