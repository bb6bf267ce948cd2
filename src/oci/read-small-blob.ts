import { digestOf } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import { MAX_MANIFEST_BYTES, type BlobStore, type CallOptions } from './blob-store.ts';
import type { Descriptor } from './descriptor.ts';

/** A blob that is to be parsed, verified. Throws `invalid-input` for one of more than `maxBytes`, 4 MiB by default. */
export async function readSmallBlob(
  store: BlobStore,
  descriptor: Descriptor,
  { maxBytes = MAX_MANIFEST_BYTES, ...options }: CallOptions & { readonly maxBytes?: number } = {},
): Promise<Buffer> {
  if (descriptor.size > maxBytes) {
    throw new StkError(
      'invalid-input',
      `${store.name}: ${descriptor.mediaType} of ${descriptor.size} bytes is too large`,
    );
  }
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of store.readBlob(descriptor, options)) {
    chunks.push(chunk);
    sizeBytes += chunk.byteLength;
    if (sizeBytes > descriptor.size) break;
  }
  const bytes = Buffer.concat(chunks);
  if (digestOf(bytes) !== descriptor.digest) {
    throw new StkError('integrity', `${store.name}: bytes do not match ${descriptor.digest}`);
  }
  return bytes;
}
