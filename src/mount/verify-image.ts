import type { Digest } from '../core/digest.ts';
import { StkError, throwIfAborted } from '../core/errors.ts';
import { openFileReader } from '../host/file-reader.ts';
import { locateVerity } from '../layer/verity-format.ts';
import { VerityTree } from '../layer/verity-tree.ts';
import type { Descriptor, Platform } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { layerFormat } from '../oci/media-types.ts';
import { readSuperblock } from '../squashfs/superblock.ts';
import { readLayeredImage, verityRootOf } from './image-layers.ts';

export interface VerifyRequest {
  readonly layout: LayoutStore;
  readonly tag: string;
  /** The manifest or index to verify, wherever the tag points by now. */
  readonly digest?: Digest | undefined;
  readonly platform: Platform;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

export interface VerifiedImage {
  readonly name: string;
  readonly digest: Digest;
  readonly blobs: number;
  readonly sizeBytes: number;
  /** Layers whose every block was checked against the verity root in the manifest, too. */
  readonly verityLayers: number;
  readonly layers: number;
}

/** Read at once for the verity check: a multiple of every block size. */
const CHUNK_BYTES = 1 << 20;

/**
 * Reads every byte of an image: manifest, configuration and layers must have the digests and sizes that name them, and
 * each layer with a root hash must match its verity tree. Throws `integrity` for the first that does not, `not-found` for
 * a missing blob.
 */
export async function verifyImage(request: VerifyRequest): Promise<VerifiedImage> {
  const { layout, signal, onProgress } = request;
  const image = await readLayeredImage(request);
  const { config, layers } = image.manifest;
  const blobs = [...new Map([config, ...layers].map(blob => [`${blob.digest} ${blob.size}`, blob])).values()];
  const totalBytes = blobs.reduce((sum, blob) => sum + blob.size, 0);
  let doneBytes = 0;
  let verityLayers = 0;
  for (const blob of blobs) {
    const before = doneBytes;
    await hashBlob(layout, blob, bytes => onProgress?.(before + bytes, totalBytes), signal);
    doneBytes += blob.size;
    if (layerFormat(blob.mediaType).kind === 'squashfs' && (await checkVerity(layout, blob, signal))) verityLayers++;
  }
  const sizeBytes = totalBytes;
  return {
    name: image.name,
    digest: image.digest,
    blobs: blobs.length,
    sizeBytes,
    verityLayers,
    layers: layers.length,
  };
}

async function hashBlob(
  layout: LayoutStore,
  blob: Descriptor,
  onProgress: (doneBytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  // The store hashes as it reads and throws at the end of a stream that does not match.
  for await (const _ of layout.readBlob(blob, { onProgress, ...(signal && { signal }) })) throwIfAborted(signal);
}

/** Whether the layer has a root hash; every block of it has been compared then. */
async function checkVerity(layout: LayoutStore, layer: Descriptor, signal: AbortSignal | undefined): Promise<boolean> {
  const root = verityRootOf(layer);
  if (root === undefined) return false;
  await using reader = await openFileReader(layout.blobPath(layer.digest));
  const { bytesUsed } = await readSuperblock(reader, signal);
  const offset = locateVerity(reader.sizeBytes, bytesUsed);
  if (offset === undefined) {
    throw new StkError('integrity', `layer ${layer.digest} has a verity root hash but no verity tree`, {
      hint: 'the blob was cut off before it was named; build or fetch the image again',
      facts: { digest: layer.digest },
    });
  }
  const tree = await VerityTree.open(reader, { offset, root }, signal);
  const perChunk = CHUNK_BYTES / tree.blockBytes;
  const { dataBlocks } = tree.superblock;
  for (let first = 0; first < dataBlocks; first += perChunk) {
    throwIfAborted(signal);
    const count = Math.min(perChunk, dataBlocks - first);
    const bytes = await reader.readAt(first * tree.blockBytes, count * tree.blockBytes, signal);
    await tree.verifyBlocks(first, bytes, signal);
  }
  return true;
}
