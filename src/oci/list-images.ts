import { throwIfAborted } from '../core/errors.ts';
import { isAttachmentTag } from './attachment-tag.ts';
import type { BlobStore, CallOptions, ManifestBytes } from './blob-store.ts';
import type { Descriptor, Manifest } from './descriptor.ts';
import { isManifestType } from './media-types.ts';
import { parseManifest } from './parse-manifest.ts';
import { formatPlatform, normalizePlatform } from './platform.ts';
import { isImage } from './resolve-image.ts';
import { isUnusable } from './unusable-document.ts';

/** A tag of a store that stands for an image, or for an index of several. */
export interface ListedImage {
  readonly tag: string;
  readonly descriptor: Descriptor;
  /** The image alone, or those of the index that are there. */
  readonly manifests: readonly Manifest[];
  /** Of an index: what it names images for, as `OS/ARCH[/VARIANT]`; `undefined` for an image. */
  readonly platforms: readonly string[] | undefined;
}

/** Entries of one index that are looked at. */
const MAX_ENTRIES = 100;

/**
 * The images of a store by tag. What belongs to other images, such as signatures and lists of them, and artifacts that are no
 * images are left out. Throws as `readManifest` does; parts of an index that are missing are passed over, since a store may
 * have some platforms only.
 */
export async function* listImages(store: BlobStore, options: CallOptions = {}): AsyncGenerator<ListedImage> {
  for (const tag of await store.tags(options)) {
    throwIfAborted(options.signal);
    if (isAttachmentTag(tag)) continue;
    const found = await readListed(store, tag, await store.readManifest(tag, options), options);
    if (found) yield found;
  }
}

async function readListed(
  store: BlobStore,
  tag: string,
  { descriptor, bytes }: ManifestBytes,
  options: CallOptions,
): Promise<ListedImage | undefined> {
  const parsed = parseManifest(bytes, `${store.name} ${tag}`);
  const { subject } = parsed.manifest;
  if (subject !== undefined) return undefined;
  if (parsed.kind === 'manifest') {
    const { manifest } = parsed;
    return isImage(manifest) ? { tag, descriptor, manifests: [manifest], platforms: undefined } : undefined;
  }
  const entries = parsed.manifest.manifests.slice(0, MAX_ENTRIES).filter(entry => isManifestType(entry.mediaType));
  const manifests: Manifest[] = [];
  for (const entry of entries) {
    const manifest = await readThere(store, entry, options);
    if (manifest && isImage(manifest)) manifests.push(manifest);
  }
  const platforms = parsed.manifest.manifests.flatMap(({ platform }) =>
    platform && platform.os !== 'unknown' ? [formatPlatform(normalizePlatform(platform))] : [],
  );
  return { tag, descriptor, manifests, platforms };
}

/** `undefined` for one that is damaged or not there. */
async function readThere(store: BlobStore, entry: Descriptor, options: CallOptions): Promise<Manifest | undefined> {
  try {
    const parsed = parseManifest((await store.readManifest(entry.digest, options)).bytes, entry.digest);
    return parsed.kind === 'manifest' ? parsed.manifest : undefined;
  } catch (error) {
    if (isUnusable(error)) return undefined;
    throw error;
  }
}
