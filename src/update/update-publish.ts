import { mapLimited } from '../core/limiter.ts';
import type { Digest } from '../core/digest.ts';
import { silent, withTask, type Emit } from '../core/events.ts';
import { formatBytes } from '../core/bytes.ts';
import { createReadStream } from '../host/files.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Document } from '../oci/compose.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { NewBlob } from './result-form.ts';
import type { UpdatedImage } from './update-image.ts';

export interface PublishUpdateOptions {
  /** What moves to the new image. */
  readonly tag: string;
  /** What the tag stood for when the update began; `undefined`: nothing. */
  readonly expected: Digest | undefined;
  /** Signs what the tag will stand for before it moves. */
  readonly sign?: ((manifest: Descriptor) => Promise<void>) | undefined;
  /** Looks at what the tag will stand for before it moves; a failure leaves the tag where it is. */
  readonly check?: ((manifest: Descriptor) => Promise<void>) | undefined;
  /** Called right before the tag moves. */
  readonly beforeMove?: ((manifest: Descriptor) => Promise<void>) | undefined;
  readonly emit?: Emit;
  readonly signal?: AbortSignal | undefined;
}

export interface PublishedUpdate {
  /** Bytes of layers, configuration and manifest whose content was sent. */
  readonly sentBytes: number;
  readonly sentBlobs: number;
}

/** What an update makes of a tag: an image, or an index with images in it. */
export interface NewVersion {
  readonly images: readonly UpdatedImage[];
  /** The index that names the images, written anew; `undefined` where the tag stands for the one image. */
  readonly index: Document | undefined;
}

/**
 * Brings updated images to the store that has the old ones, and moves the tag last. Throws `conflict` where the tag no
 * longer stands for what it did: then nothing that anybody sees has changed. Returns what was sent of each image.
 */
export async function publishUpdate(
  store: BlobStore,
  { images, index }: NewVersion,
  options: PublishUpdateOptions,
): Promise<readonly PublishedUpdate[]> {
  const { tag, expected, signal } = options;
  const call = signal ? { signal } : {};
  const root = index ?? images[0]!.manifest;
  // A layout's index, an index and a signature name what is there already; a registry takes a manifest with its tag.
  const isLookedAt = options.sign !== undefined || options.check !== undefined;
  const isNamed = index !== undefined || isLookedAt || store.place.kind === 'oci';
  const sent: PublishedUpdate[] = [];
  for (const image of images) {
    sent.push(await sendImage(store, image, options));
    if (isNamed) await store.putManifest(image.manifest, undefined, { ...call, named: true });
  }
  if (index && (isLookedAt || store.place.kind === 'oci')) {
    await store.putManifest(index, undefined, { ...call, named: true });
  }
  await options.sign?.(root.descriptor);
  await options.check?.(root.descriptor);
  await options.beforeMove?.(root.descriptor);
  await store.putManifest(root, tag, { ...call, expected: { digest: expected } });
  return sent;
}

async function sendImage(
  store: BlobStore,
  updated: UpdatedImage,
  options: PublishUpdateOptions,
): Promise<PublishedUpdate> {
  const { signal } = options;
  const sent = await mapLimited(updated.fresh, 4, (blob, inner) => putLayer(store, blob, options, inner), signal);
  const isNew = await putDocument(store, updated.config, signal ? { signal } : {});
  const documents = updated.manifest.bytes.byteLength + (isNew ? updated.config.bytes.byteLength : 0);
  return {
    sentBytes: documents + sent.reduce((sum, bytes) => sum + bytes, 0),
    sentBlobs: sent.filter(bytes => bytes > 0).length,
  };
}

/** Bytes that had to be sent: none of what the store has or takes from a neighbour. */
async function putLayer(
  store: BlobStore,
  { descriptor, from }: NewBlob,
  { emit = silent }: PublishUpdateOptions,
  signal: AbortSignal,
): Promise<number> {
  const kind = store.place.kind === 'docker' ? ('push' as const) : ('copy' as const);
  let sentBytes = 0;
  const label = descriptor.digest.slice(7, 19);
  await withTask(
    emit,
    { group: 'update', kind, label },
    async task => {
      const source = () => {
        sentBytes = descriptor.size;
        return 'file' in from
          ? createReadStream(from.file)
          : from.blob.store.readBlob(from.blob.descriptor, { signal });
      };
      const isOther = 'blob' in from;
      await store.putBlob(descriptor, source, {
        signal,
        onProgress: done => task.progress(done, descriptor.size),
        ...(isOther ? { mountFrom: from.blob.store.place, verified: true } : {}),
      });
      if (sentBytes === 0) task.finish('cached', 'already there');
      else task.finish('done', formatBytes(sentBytes));
    },
    signal,
  );
  return sentBytes;
}

async function putDocument(
  store: BlobStore,
  { descriptor, bytes }: Document,
  call: { readonly signal?: AbortSignal },
): Promise<boolean> {
  let sent = false;
  await store.putBlob(
    descriptor,
    async function* () {
      sent = true;
      yield bytes;
    },
    call,
  );
  return sent;
}
