import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { BlobStore, CallOptions } from '../oci/blob-store.ts';
import { readImageGraph, type ImageGraph } from './image-graph.ts';

/** Something that is about an image, found through the image's digest. */
export interface Attachment {
  readonly graph: ImageGraph;
  /** The tag that it is found under, where it does not name its subject. */
  readonly tag: string | undefined;
}

/** Kinds that cosign keeps under a tag made of the image's digest. */
const COSIGN_SUFFIXES = ['sig', 'att', 'sbom'] as const;
/** Things about things about an image, such as the signature of a bill of materials, are followed this far. */
const MAX_DEPTH = 4;
const MAX_ATTACHMENTS = 1000;

/** The tag under which cosign keeps what belongs to a digest. */
export function attachmentTag(digest: Digest, kind: (typeof COSIGN_SUFFIXES)[number]): string {
  return `${digest.replace(':', '-')}.${kind}`;
}

/** All that refers to a document of an image (distribution-spec, "Listing Referrers"), and to that in turn. */
export async function attachedTo(
  store: BlobStore,
  image: ImageGraph,
  options: CallOptions = {},
): Promise<readonly Attachment[]> {
  const found: Attachment[] = [];
  const seen = new Set<string>(image.documents.map(document => document.descriptor.digest));
  let level: readonly ImageGraph[] = [image];
  for (let depth = 0; depth < MAX_DEPTH && level.length > 0; depth++) {
    const next: ImageGraph[] = [];
    for (const digest of level.flatMap(graph => graph.documents.map(document => document.descriptor.digest))) {
      for (const attachment of await directlyAttached(store, digest, options)) {
        const key = `${attachment.graph.root.descriptor.digest} ${attachment.tag ?? ''}`;
        if (seen.has(key)) continue;
        seen.add(key);
        found.push(attachment);
        next.push(attachment.graph);
        if (found.length > MAX_ATTACHMENTS) {
          throw new StkError('invalid-input', `${store.name}: more than ${MAX_ATTACHMENTS} things refer to the image`);
        }
      }
    }
    level = next;
  }
  return found;
}

async function directlyAttached(
  store: BlobStore,
  digest: Digest,
  options: CallOptions,
): Promise<readonly Attachment[]> {
  const found: Attachment[] = [];
  for (const { digest: referrer } of await store.referrers(digest, undefined, options)) {
    found.push({ graph: await readImageGraph(store, referrer, options), tag: undefined });
  }
  for (const suffix of COSIGN_SUFFIXES) {
    const tag = attachmentTag(digest, suffix);
    if (await store.resolve(tag, options)) found.push({ graph: await readImageGraph(store, tag, options), tag });
  }
  return found;
}
