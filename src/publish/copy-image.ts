import type { Digest } from '../core/digest.ts';
import { formatBytes } from '../core/bytes.ts';
import { StkError } from '../core/errors.ts';
import { silent, withTask, type Emit } from '../core/events.ts';
import { mapLimited } from '../core/limiter.ts';
import type { BlobStore, ManifestBytes } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { attachedTo } from './attachments.ts';
import { readImageGraph, type ImageDocument, type ImageGraph } from './image-graph.ts';

export interface CopyOptions {
  readonly emit?: Emit;
  /** What the progress is about; the source's name and reference by default. */
  readonly group?: string;
  /** Copy what refers to the image as well: signatures, attestations, bills of materials. */
  readonly referrers?: boolean;
  /** Blobs copied side by side; default 4. */
  readonly parallel?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface CopyResult {
  /** What the tag points to now. */
  readonly root: ManifestBytes;
  /** Bytes of blobs whose content was sent. */
  readonly sentBytes: number;
  /** Blobs that were sent, and blobs that the destination had or took from a neighbour. */
  readonly sentBlobs: number;
  readonly presentBlobs: number;
}

const PARALLEL = 4;

/**
 * Copies an image, an index with all its images, or an artifact, verbatim: the destination's digests are the source's.
 * Blobs come first, then manifests from the bottom up, the tag last, so that a copy which dies half-way leaves the tag
 * as it was. What the destination has is not sent.
 * @param tag moves in the destination; without one the image is stored under its digest only
 */
export async function copyImage(
  source: BlobStore,
  reference: string,
  destination: BlobStore,
  tag: string | undefined,
  options: CopyOptions = {},
): Promise<CopyResult> {
  const { signal } = options;
  const call = signal ? { signal } : {};
  const group = options.group ?? `${source.name} ${reference}`;
  const graph = await readImageGraph(source, reference, call);
  const copy = new BlobCopy(source, destination, { ...options, group });
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

class BlobCopy {
  readonly #source: BlobStore;
  readonly #destination: BlobStore;
  readonly #options: CopyOptions & { readonly group: string };
  readonly #done = new Set<Digest>();
  #sentBytes = 0;
  #sentBlobs = 0;

  constructor(source: BlobStore, destination: BlobStore, options: CopyOptions & { readonly group: string }) {
    this.#source = source;
    this.#destination = destination;
    this.#options = options;
  }

  get counts(): Pick<CopyResult, 'sentBytes' | 'sentBlobs' | 'presentBlobs'> {
    const sentBlobs = this.#sentBlobs;
    return { sentBytes: this.#sentBytes, sentBlobs, presentBlobs: this.#done.size - sentBlobs };
  }

  /** The largest first: what begins last should not be what takes longest. */
  async all(blobs: readonly Descriptor[]): Promise<void> {
    const fresh = new Map(blobs.filter(blob => !this.#done.has(blob.digest)).map(blob => [blob.digest, blob]));
    const wanted = [...fresh.values()].toSorted((a, b) => b.size - a.size);
    const { parallel = PARALLEL, signal } = this.#options;
    await mapLimited(wanted, parallel, (blob, inner) => this.#one(blob, inner), signal);
  }

  async #one(blob: Descriptor, signal: AbortSignal): Promise<void> {
    const { emit = silent, group } = this.#options;
    const kind = this.#destination.name.startsWith('docker://') ? 'push' : 'copy';
    await withTask(
      emit,
      { group, kind, label: blob.digest.slice(7, 19) },
      async task => {
        if (await this.#isElsewhere(blob, signal)) return task.finish('cached', 'kept by its publisher');
        const sent = await this.#put(blob, done => task.progress(done, blob.size), signal);
        this.#done.add(blob.digest);
        if (!sent) return task.finish('cached', 'already there');
        this.#sentBlobs++;
        this.#sentBytes += blob.size;
        task.finish('done', formatBytes(blob.size));
      },
      signal,
    );
  }

  /** Whether bytes had to be sent. What a registry accepted and then lost is sent once more. */
  async #put(blob: Descriptor, onProgress: (doneBytes: number) => void, signal: AbortSignal): Promise<boolean> {
    const mountFrom = this.#source.name;
    let sent = false;
    const read = () => {
      sent = true;
      return this.#source.readBlob(blob, { signal });
    };
    for (let attempt = 1; ; attempt++) {
      await this.#destination.putBlob(blob, read, { signal, onProgress, mountFrom, verified: true });
      if (!sent || (await this.#destination.hasBlob(blob, { signal }))) return sent;
      if (attempt < 2) continue;
      throw new StkError('registry', `${this.#destination.name} accepted blob ${blob.digest} but does not have it`, {
        hint: 'the registry loses what it is sent: look at its log and its storage; no tag was moved',
        facts: { digest: blob.digest, sizeBytes: blob.size },
      });
    }
  }

  /** Layers whose publisher forbids copies are fetched from the publisher (image-spec, layer.md, "Non-Distributable"). */
  async #isElsewhere(blob: Descriptor, signal: AbortSignal): Promise<boolean> {
    if (!blob.urls || blob.urls.length === 0 || !/foreign|nondistributable/.test(blob.mediaType)) return false;
    return !(await this.#source.hasBlob(blob, { signal }));
  }
}
