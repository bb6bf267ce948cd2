import type { BlobStore, ManifestBytes } from '../oci/blob-store.ts';
import { convertImage, type ConvertPorts, type ConvertRequest } from './convert-image.ts';
import { BlobCopy } from './copy-blobs.ts';
import { copyImage } from './copy-image.ts';

/**
 * Converts an image in the ports' layout and copies the result to another store under a tag, each layer as soon as it is
 * made. The tag moves last.
 */
export async function convertToStore(
  source: { readonly store: BlobStore; readonly reference: string },
  request: ConvertRequest,
  ports: ConvertPorts,
  destination: { readonly store: BlobStore; readonly tag: string | undefined },
): Promise<ManifestBytes> {
  const { layout, emit } = ports;
  const { name, signal } = request;
  await using blobs = new BlobCopy(layout, destination.store, { emit, group: name, signal });
  const converting = convertImage(
    source.store,
    source.reference,
    { ...request, signal: blobs.signal },
    { ...ports, onLayer: layer => blobs.begin(layer) },
  );
  const converted = await converting.catch((error: unknown) => {
    blobs.throwIfFailed();
    throw error;
  });
  const options = { emit, group: name, begun: blobs, signal };
  await copyImage({ store: layout, reference: converted.descriptor.digest }, destination, options);
  return converted;
}
