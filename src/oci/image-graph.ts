import type { Digest } from '../core/digest.ts';
import { StkError, throwIfAborted } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import type { BlobStore, CallOptions, ManifestBytes } from './blob-store.ts';
import type { Descriptor } from './descriptor.ts';
import { isIndexType, isManifestType } from './media-types.ts';
import { parseManifest, type ParsedManifest } from './parse-manifest.ts';

/** One manifest or index as it was read, and what it says. */
export interface ImageDocument extends ManifestBytes {
  readonly parsed: ParsedManifest;
}

/** Everything that a reference names, down to its blobs. */
export interface ImageGraph {
  readonly root: ImageDocument;
  /** Each once, every one after those that it names; the root is last. */
  readonly documents: readonly ImageDocument[];
  /** Configurations, layers, and entries of indexes that are no images; each digest once. */
  readonly blobs: readonly Descriptor[];
}

/** Indexes within indexes are followed this far. */
const MAX_DEPTH = 6;
const MAX_DOCUMENTS = 1000;
const MAX_DOCUMENT_BYTES = 64 * 1024 * 1024;
const MAX_BLOBS = 50_000;
/** Documents fetched side by side. */
const PARALLEL = 6;

/**
 * Reads a manifest or index and all that it names, as bytes that match their digests. Throws `not-found` where one is
 * missing, `integrity` where a size is wrong, `invalid-input` for trees that are too deep, too wide, or contradict
 * themselves.
 */
export async function readImageGraph(
  store: BlobStore,
  reference: string,
  options: CallOptions = {},
): Promise<ImageGraph> {
  const name = `${store.name} ${reference}`;
  const root = await readDocument(store, reference, name, options);
  const documents = new Map<Digest, ImageDocument>([[root.descriptor.digest, root]]);
  const blobs = new Map<Digest, Descriptor>();
  let bytes = root.bytes.byteLength;
  let level: readonly ImageDocument[] = [root];
  for (let depth = 0; level.length > 0; depth++) {
    throwIfAborted(options.signal);
    const wanted = new Map<Digest, Descriptor>();
    for (const document of level) {
      for (const entry of namedBy(document)) {
        if (isDocument(document, entry)) {
          if (!documents.has(entry.digest)) wanted.set(entry.digest, entry);
        } else addBlob(blobs, entry, name);
      }
    }
    if (wanted.size > 0 && depth >= MAX_DEPTH) throw tooMuch(name, `has indexes nested more than ${MAX_DEPTH} deep`);
    if (documents.size + wanted.size > MAX_DOCUMENTS) throw tooMuch(name, `names more than ${MAX_DOCUMENTS} manifests`);
    level = await mapLimited(
      [...wanted.values()],
      PARALLEL,
      (entry, signal) => readChild(store, entry, name, { signal }),
      options.signal,
    );
    for (const document of level) {
      documents.set(document.descriptor.digest, document);
      bytes += document.bytes.byteLength;
    }
    if (bytes > MAX_DOCUMENT_BYTES) throw tooMuch(name, `has more than ${MAX_DOCUMENT_BYTES} bytes of manifests`);
  }
  return { root, documents: childrenFirst(root, documents), blobs: [...blobs.values()] };
}

/** What a document names, in its order. */
function namedBy({ parsed }: ImageDocument): readonly Descriptor[] {
  return parsed.kind === 'index' ? parsed.manifest.manifests : [parsed.manifest.config, ...parsed.manifest.layers];
}

/** An artifact may carry what looks like a manifest as its configuration or as a layer: that is a blob. */
function isDocument({ parsed }: ImageDocument, entry: Descriptor): boolean {
  return parsed.kind === 'index' && (isManifestType(entry.mediaType) || isIndexType(entry.mediaType));
}

async function readDocument(
  store: BlobStore,
  reference: string,
  name: string,
  options: CallOptions,
): Promise<ImageDocument> {
  const { descriptor, bytes } = await store.readManifest(reference, options);
  // A layout's entry for it says more, its tag for one: that is no part of the image.
  const { mediaType, digest, size } = descriptor;
  return { descriptor: { mediaType, digest, size }, bytes, parsed: parseManifest(bytes, name) };
}

async function readChild(
  store: BlobStore,
  entry: Descriptor,
  name: string,
  options: CallOptions,
): Promise<ImageDocument> {
  const document = await readDocument(store, entry.digest, `${name} ${entry.digest}`, options);
  if (document.bytes.byteLength !== entry.size) {
    throw new StkError('integrity', `${name}: ${entry.digest} is not the ${entry.size} bytes that its index says`, {
      facts: { digest: entry.digest, sizeBytes: entry.size, foundBytes: document.bytes.byteLength },
    });
  }
  if (isIndexType(entry.mediaType) !== (document.parsed.kind === 'index')) {
    throw new StkError('invalid-input', `${name}: ${entry.digest} is no ${entry.mediaType}`, {
      facts: { field: 'mediaType', digest: entry.digest },
    });
  }
  return document;
}

function addBlob(blobs: Map<Digest, Descriptor>, entry: Descriptor, name: string): void {
  const known = blobs.get(entry.digest);
  if (known && known.size !== entry.size) {
    throw new StkError('invalid-input', `${name} gives ${entry.digest} two sizes: ${known.size} and ${entry.size}`, {
      facts: { digest: entry.digest },
    });
  }
  if (!known) blobs.set(entry.digest, entry);
  if (blobs.size > MAX_BLOBS) throw tooMuch(name, `names more than ${MAX_BLOBS} blobs`);
}

function childrenFirst(root: ImageDocument, documents: ReadonlyMap<Digest, ImageDocument>): readonly ImageDocument[] {
  const ordered = new Set<ImageDocument>();
  const entered = new Set<ImageDocument>();
  const visit = (document: ImageDocument): void => {
    if (entered.has(document)) return;
    entered.add(document);
    for (const entry of namedBy(document)) {
      const child = isDocument(document, entry) ? documents.get(entry.digest) : undefined;
      if (child) visit(child);
    }
    ordered.add(document);
  };
  visit(root);
  return [...ordered];
}

function tooMuch(name: string, problem: string): StkError {
  return new StkError('invalid-input', `${name} ${problem}`);
}
