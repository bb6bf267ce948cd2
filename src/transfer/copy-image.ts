import type { Emit } from '../core/events.ts';
import { mapLimited } from '../core/limiter.ts';
import type { BlobStore, ManifestBytes } from '../oci/blob-store.ts';
import { attachedTo } from '../oci/attachments.ts';
import { BlobCopy, type BlobCounts } from './copy-blobs.ts';
import { readImageGraph, type ImageDocument, type ImageGraph } from '../oci/image-graph.ts';

export interface CopyOptions {
  readonly emit?: Emit;
  /** What the progress is about; the source's name and reference by default. */
  readonly group?: string;
  /** Copy what refers to the image as well: signatures, attestations, bills of materials. */
  readonly referrers?: boolean;
  /** Blobs copied side by side; default 4. */
  readonly parallel?: number;
  /** A copy between the same stores that some blobs were given to before; the caller's. */
  readonly begun?: BlobCopy;
  readonly signal?: AbortSignal | undefined;
}

/** An image, an index or an artifact in a store. */
export interface CopySource {
  readonly store: BlobStore;
  /** Tag or digest. */
  readonly reference: string;
}

export interface CopyDestination {
  readonly store: BlobStore;
  /** Moves there; without one the image is stored under its digest only. */
  readonly tag?: string | undefined;
}

export interface CopyResult extends BlobCounts {
  /** What the tag points to now. */
  readonly root: ManifestBytes;
}

const PARALLEL = 4;

/**
 * Copies an image, an index with all its images, or an artifact, verbatim: the destination's digests are the source's.
 * Blobs come first, then manifests from the bottom up, the tag last, so that a copy which dies half-way leaves the tag
 * as it was. What the destination has is not sent.
 */
export async function copyImage(
  { store: source, reference }: CopySource,
  { store: destination, tag }: CopyDestination,
  options: CopyOptions = {},
): Promise<CopyResult> {
  const { signal } = options;
  const call = signal ? { signal } : {};
  const group = options.group ?? `${source.name} ${reference}`;
  const graph = await readImageGraph(source, reference, call);
  const copy = options.begun ?? new BlobCopy(source, destination, { ...options, group });
  await copy.all(graph.blobs);
  await putDocuments(destination, graph, call);
  if (options.referrers === true) {
    await destination.putManifest(graph.root, undefined, { ...call, named: tag !== undefined });
    const attachments = await attachedTo(source, graph, call);
    await copy.all(attachments.flatMap(attached => attached.graph.blobs));
    for (const attached of attachments) {
      await putDocuments(destination, attached.graph, call);
      await destination.putManifest(attached.graph.root, attached.tag, call);
    }
  }
  await destination.putManifest(graph.root, tag, call);
  return { root: graph.root, ...copy.counts };
}

/**
 * Everything but the root: manifests side by side, then the indexes that name them. One at a time where a manifest has a
 * subject, because a client that keeps the list of referrers for the registry must not race with itself.
 */
async function putDocuments(
  destination: BlobStore,
  graph: ImageGraph,
  call: { readonly signal?: AbortSignal },
): Promise<void> {
  const documents = graph.documents.filter(document => document !== graph.root);
  const isFree = ({ parsed }: ImageDocument) => parsed.kind === 'manifest' && parsed.manifest.subject === undefined;
  await mapLimited(
    documents.filter(isFree),
    PARALLEL,
    (document, signal) => destination.putManifest(document, undefined, { signal, named: true }),
    call.signal,
  );
  for (const document of documents.filter(document => !isFree(document))) {
    await destination.putManifest(document, undefined, { ...call, named: true });
  }
}
