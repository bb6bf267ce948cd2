import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import type { BlobStore, CallOptions } from './blob-store.ts';
import { COSIGN_SUFFIXES, attachmentTag } from './attachment-tag.ts';
import { readImageGraph, type ImageGraph } from './image-graph.ts';

/** Something that is about an image, found through the image's digest. */
export interface Attachment {
  readonly graph: ImageGraph;
  /** The tag that it is found under, where it does not name its subject. */
  readonly tag: string | undefined;
}

/** Things about things about an image, such as the signature of a bill of materials, are followed this far. */
const MAX_DEPTH = 4;
const MAX_ATTACHMENTS = 1000;
/** Requests side by side. */
const PARALLEL = 6;
/** From so many documents on, one list of tags takes fewer requests than asking for each tag. */
const MANY_SUBJECTS = 20;

/** All that refers to a document of an image (distribution-spec, "Listing Referrers"), and to that in turn. */
export async function attachedTo(
  store: BlobStore,
  image: ImageGraph,
  options: CallOptions = {},
): Promise<readonly Attachment[]> {
  const found: Attachment[] = [];
  const seen = new Set<string>();
  let level: readonly ImageGraph[] = [image];
  for (let depth = 0; depth < MAX_DEPTH && level.length > 0; depth++) {
    const subjects = level.flatMap(graph => graph.documents.map(document => document.descriptor.digest));
    const places = (await placesOf(store, subjects, options)).filter(({ reference }) => !seen.has(reference));
    for (const { reference } of places) seen.add(reference);
    if (seen.size > MAX_ATTACHMENTS) {
      throw new StkError('invalid-input', `${store.name}: more than ${MAX_ATTACHMENTS} things refer to the image`);
    }
    const attached = await mapLimited(
      places,
      PARALLEL,
      async ({ reference, tag }, signal) => ({ graph: await readImageGraph(store, reference, { signal }), tag }),
      options.signal,
    );
    found.push(...attached);
    level = attached.map(({ graph }) => graph);
  }
  return found;
}

/** Where an attachment is found. */
interface Place {
  /** Its digest, or the tag. */
  readonly reference: string;
  readonly tag: string | undefined;
}

/** In the order of the subjects, each once. */
async function placesOf(
  store: BlobStore,
  subjects: readonly Digest[],
  options: CallOptions,
): Promise<readonly Place[]> {
  const tags = subjects.length < MANY_SUBJECTS ? undefined : new Set(await store.tags(options));
  const places = await mapLimited(
    subjects,
    PARALLEL,
    async (digest, signal) => {
      const referrers = await store.referrers(digest, undefined, { signal });
      const untagged = referrers.map(referrer => ({ reference: referrer.digest, tag: undefined }));
      const names = COSIGN_SUFFIXES.map(suffix => attachmentTag(digest, suffix));
      const tagged: Place[] = [];
      for (const tag of names) {
        const isThere = tags ? tags.has(tag) : (await store.resolve(tag, { signal })) !== undefined;
        if (isThere) tagged.push({ reference: tag, tag });
      }
      return [...untagged, ...tagged];
    },
    options.signal,
  );
  return [...new Map(places.flat().map(place => [place.reference, place])).values()];
}
