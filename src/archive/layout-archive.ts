import { digestFromHex, type Digest } from '../core/digest.ts';
import { REF_NAME } from '../oci/layout-index.ts';
import { parseIndex } from '../oci/parse-manifest.ts';
import type { ArchiveContent, ArchiveFiles } from './archive-content.ts';
import type { MemberExtent } from './archive-members.ts';

/** containerd and Docker keep the whole name here, and only the tag under the standard key. */
const CONTAINERD_NAME = 'io.containerd.image.name';

/** An OCI layout in a tar (image-spec, image-layout.md). */
export async function describeLayoutImages(files: ArchiveFiles): Promise<ArchiveContent> {
  const blobs = new Map<Digest, MemberExtent>();
  for (const [path, extent] of files.members) {
    const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(path)?.[1];
    if (hex !== undefined) blobs.set(digestFromHex(hex), extent);
  }
  const index = parseIndex(await files.readSmall('index.json'), `${files.name}: index.json`);
  const images = index.manifests.map(({ mediaType, digest, size, annotations }) => ({
    descriptor: { mediaType, digest, size },
    names: [annotations?.[CONTAINERD_NAME], annotations?.[REF_NAME]].filter(name => name !== undefined),
  }));
  return { images, blobs, manifests: new Map() };
}
