import type { BlobStore, CallOptions, ManifestBytes } from './blob-store.ts';

/** Stores bytes that are at hand as a blob, such as a configuration. Throws what the store's `putBlob` throws. */
export async function putDocument(
  store: Pick<BlobStore, 'putBlob'>,
  { descriptor, bytes }: ManifestBytes,
  options: CallOptions = {},
): Promise<void> {
  await store.putBlob(descriptor, () => once(bytes), options);
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
