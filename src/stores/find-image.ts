import type { AsyncScope } from '../core/async-scope.ts';
import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Platform } from '../oci/descriptor.ts';
import type { ImageName } from '../oci/image-name.ts';
import { findManifest, resolveImage, type FoundManifest, type ResolvedImage } from '../oci/resolve-image.ts';
import type { ImageStores, OpenOptions, OpenedName } from './image-stores.ts';

/** An image that was found, and where. */
export interface FoundImage extends ResolvedImage, FoundManifest {
  readonly store: BlobStore;
  /** As written by the user. */
  readonly name: string;
  /** What the store was asked for. */
  readonly reference: string;
}

export interface FindOptions extends OpenOptions {
  /** Taken where the name has none. */
  readonly hostPlatform: Platform;
  readonly signal: AbortSignal;
}

/**
 * Finds the image of a name in any of its forms; of an index the image for the platform in the name, or this host's. Throws
 * `not-found`, and `usage` where only a store was named.
 */
export async function findImage(
  stores: ImageStores,
  name: ImageName,
  options: FindOptions,
  scope: AsyncScope,
): Promise<FoundImage> {
  const opened = await stores.open(name, options, scope);
  const reference = imageReference(opened);
  const { hostPlatform, signal } = options;
  const exact = name.platform !== undefined;
  const image = await resolveImage(opened.store, reference, name.platform ?? hostPlatform, { signal, exact });
  return { ...image, store: opened.store, name: opened.text, reference };
}

/**
 * What a platform in a name comes to: the digest of the image of that platform. `undefined` where the name has none, and an
 * index is gone through for this host. Throws `not-found` where there is no such image.
 */
export async function pinPlatform(
  { store, name }: Pick<OpenedName, 'store' | 'name'>,
  reference: string,
  signal: AbortSignal,
): Promise<Digest | undefined> {
  if (name.platform === undefined) return undefined;
  return (await findManifest(store, reference, name.platform, { signal, exact: true })).descriptor.digest;
}

/** What to ask the store for where one image is meant. Throws `usage` where only the store was named. */
export function imageReference({ reference, text, name }: Pick<OpenedName, 'reference' | 'text' | 'name'>): string {
  if (reference !== undefined) return reference;
  const hint = name.kind === 'archive' ? 'it has several: add the name of one' : 'add a tag';
  throw new StkError('usage', `${text} names no image`, { hint: `${hint}: ${text}:TAG` });
}
