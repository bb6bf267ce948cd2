import type { Digest } from '../core/digest.ts';
import { silent, withTask, type Emit } from '../core/events.ts';
import { mapLimited } from '../core/limiter.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor, Platform } from '../oci/descriptor.ts';
import { resolveImage } from '../oci/resolve-image.ts';

export interface StoredImage {
  /** Of the image's own manifest. */
  readonly digest: Digest;
  /** Different ones; the sum of their sizes. */
  readonly blobs: number;
  readonly layers: number;
  readonly sizeBytes: number;
}

export interface VerifyStoredRequest {
  readonly store: BlobStore;
  readonly reference: string;
  /** Which image of an index. */
  readonly platform: Platform;
  readonly emit?: Emit;
  readonly signal?: AbortSignal;
}

/** Blobs read side by side. */
const PARALLEL = 3;

/**
 * Reads every byte of an image where it is stored and keeps none: manifest, configuration and layers must have the digests
 * and sizes that name them. Throws `integrity` for the first that does not, `not-found` for one that is missing.
 */
export async function verifyStored(request: VerifyStoredRequest): Promise<StoredImage> {
  const { store, reference, platform, emit = silent, signal } = request;
  const { descriptor, manifest } = await resolveImage(store, reference, platform, signal ? { signal } : {});
  const named = [manifest.config, ...manifest.layers];
  // By size as well: of two descriptors of one blob, one may lie.
  const blobs = [...new Map(named.map(blob => [`${blob.digest} ${blob.size}`, blob])).values()];
  const read = async (blob: Descriptor, siblings: AbortSignal) => {
    const task = { group: reference, kind: 'check', label: blob.digest.slice(7, 19) } as const;
    await withTask(
      emit,
      task,
      async handle => {
        const onProgress = (doneBytes: number) => handle.progress(doneBytes, blob.size);
        for await (const _ of store.readBlob(blob, { signal: siblings, onProgress }));
      },
      siblings,
    );
  };
  await mapLimited(blobs, PARALLEL, read, signal);
  const sizeBytes = blobs.reduce((sum, blob) => sum + blob.size, 0);
  return { digest: descriptor.digest, blobs: blobs.length, layers: manifest.layers.length, sizeBytes };
}
