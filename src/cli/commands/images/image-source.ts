import type { AsyncScope } from '../../../core/async-scope.ts';
import { StkError } from '../../../core/errors.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import type { Platform } from '../../../oci/descriptor.ts';
import { resolveImage, type ResolvedImage } from '../../../oci/platform.ts';
import type { Session } from '../../session.ts';
import { hostPlatform } from '../build/build-options.ts';
import { openSource } from './publish-stores.ts';

/** An image that was found, and where. */
export interface FoundImage extends ResolvedImage {
  readonly store: BlobStore;
  /** As written by the user. */
  readonly name: string;
}

/**
 * Finds `docker://…`, `oci:DIR:TAG` or a tag of the default layout; of an index the image for a platform, this host's by
 * default. Throws `not-found`, and `usage` for a layout without a tag.
 */
export async function findSourceImage(
  session: Session,
  ref: string,
  options: { readonly tlsVerify: boolean; readonly platform?: Platform },
  scope: AsyncScope,
): Promise<FoundImage> {
  const { store, reference, name } = await openSource(session, ref, options.tlsVerify, scope);
  if (reference === undefined) throw new StkError('usage', `${name} names no image`, { hint: 'write oci:DIR:TAG' });
  const image = await resolveImage(store, reference, options.platform ?? hostPlatform(), { signal: session.signal });
  return { ...image, store, name };
}
