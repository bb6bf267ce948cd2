import type { Digest } from '../core/digest.ts';
import type { ManifestBytes } from '../oci/blob-store.ts';
import { jsonDocument, type Document } from '../oci/compose.ts';
import type { Descriptor, Index } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';
import { parseIndex } from '../oci/parse-manifest.ts';

/**
 * An index with other images in the place of some: what it says of them besides, and everything else, stays as it is. The result
 * is an index of OCI, also where the old one was a list of Docker's.
 * @param replaced new manifests by the digest of the old one
 */
export function replaceInIndex(
  { bytes, descriptor }: ManifestBytes,
  replaced: ReadonlyMap<Digest, Descriptor>,
): Document {
  const index = parseIndex(bytes, descriptor.digest);
  const manifests = index.manifests.map(entry => {
    const next = replaced.get(entry.digest);
    if (!next) return entry;
    const { data: _data, urls: _urls, ...rest } = entry;
    const { mediaType, digest, size } = next;
    return { ...rest, mediaType, digest, size };
  });
  const next: Index = { ...index, mediaType: MediaType.index, manifests };
  return jsonDocument(next, MediaType.index);
}
