import { StkError, throwIfAborted } from '../core/errors.ts';
import type { BlobStore, CallOptions, ManifestBytes } from './blob-store.ts';
import type { Descriptor, ImageConfig, Manifest, Platform } from './descriptor.ts';
import { MediaType, isIndexType, isManifestType } from './media-types.ts';
import { parseImageConfig, parseManifest } from './parse-manifest.ts';
import { formatPlatform, matchPlatform, normalizePlatform } from './platform.ts';
import { readSmallBlob } from './read-small-blob.ts';

/** The manifest of one image, and how it was found. */
export interface FoundManifest {
  /** Of the image's own manifest, never of an index. */
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  /** The indexes that were gone through, the outermost first; none where the reference names the image itself. */
  readonly indexes: readonly ManifestBytes[];
}

/** An image as found in a store: everything but its layers. */
export interface ResolvedImage {
  /** Of the image's own manifest, never of an index. */
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
}

export interface ResolveOptions extends CallOptions {
  /** The platform was asked for by name: an image that stands alone must be of it, too. */
  readonly exact?: boolean;
}

/** Indexes within indexes are followed this far. */
const MAX_DEPTH = 4;
/** Documents read for one image at most, so that a wide tree of indexes ends too. */
const MAX_DOCUMENTS = 32;

/**
 * Reads an image's manifest and configuration, picking from indexes by platform. Throws `not-found` where the tag or
 * the platform is missing, `invalid-input` for documents that are malformed, loop or contradict their configuration,
 * `unsupported` for what is no image.
 */
export async function resolveImage(
  store: BlobStore,
  reference: string,
  platform: Platform,
  options: ResolveOptions = {},
): Promise<ResolvedImage & FoundManifest> {
  const { indexes, ...found } = await findManifest(store, reference, platform, options);
  return { ...(await resolveManifest(store, found, `${store.name} ${reference}`, options)), indexes };
}

/**
 * As `resolveImage`, for who needs no configuration: that is read only where nothing else tells the platform. What the manifest
 * names need not be there, nor be an image.
 */
export async function findManifest(
  store: BlobStore,
  reference: string,
  platform: Platform,
  options: ResolveOptions = {},
): Promise<FoundManifest> {
  const search: Search = {
    store,
    name: `${store.name} ${reference}`,
    platform,
    options,
    seen: new Set(),
    offered: new Set(),
  };
  const found = await find(search, reference, [], options.exact !== true);
  if (found) return found;
  const offered = [...search.offered];
  throw new StkError('not-found', `${search.name} has no image for ${formatPlatform(normalizePlatform(platform))}`, {
    hint: offered.length === 0 ? 'its index is empty' : `it has: ${offered.slice(0, 20).join(', ')}`,
    facts: { reference, platforms: offered.slice(0, 100) },
  });
}

/**
 * The image of a manifest that was read already; platforms are not looked at. Throws `invalid-input` as `resolveImage` does,
 * `unsupported` for an artifact that is no image.
 */
export async function resolveManifest(
  store: BlobStore,
  { descriptor, manifest }: Pick<ResolvedImage, 'descriptor' | 'manifest'>,
  name: string,
  options: CallOptions = {},
): Promise<ResolvedImage> {
  const { mediaType } = manifest.config;
  if (!isImage(manifest)) {
    throw new StkError('unsupported', `${name} is no image: its configuration is ${mediaType}`, {
      facts: { mediaType },
    });
  }
  const config = parseImageConfig(await readSmallBlob(store, manifest.config, options), `${name}: config`);
  if (config.rootfs.diff_ids.length !== manifest.layers.length) {
    const counts = `${manifest.layers.length} layers but ${config.rootfs.diff_ids.length} diff IDs`;
    throw new StkError('invalid-input', `${name} has ${counts}`, { facts: { field: 'rootfs.diff_ids' } });
  }
  return { descriptor, manifest, config };
}

/** Whether a manifest is one of an image, and not of an artifact such as a signature. */
export function isImage({ config, artifactType, subject }: Manifest): boolean {
  if (subject !== undefined && artifactType !== undefined) return false;
  return config.mediaType === MediaType.config || config.mediaType === MediaType.dockerConfig;
}

interface Search {
  readonly store: BlobStore;
  readonly name: string;
  readonly platform: Platform;
  readonly options: CallOptions;
  readonly seen: Set<string>;
  readonly offered: Set<string>;
}

/** @param certain whether it is known to be of the platform, or is taken for it as the only thing that was asked for */
async function find(
  search: Search,
  reference: string,
  indexes: readonly ManifestBytes[],
  certain: boolean,
): Promise<FoundManifest | undefined> {
  throwIfAborted(search.options.signal);
  if (indexes.length > MAX_DEPTH) {
    throw new StkError('invalid-input', `${search.name}: indexes are nested more than ${MAX_DEPTH} deep`);
  }
  if (search.seen.has(reference)) return undefined;
  if (search.seen.size >= MAX_DOCUMENTS) {
    throw new StkError('invalid-input', `${search.name}: more than ${MAX_DOCUMENTS} manifests to look through`);
  }
  search.seen.add(reference);
  const document = await search.store.readManifest(reference, search.options);
  search.seen.add(document.descriptor.digest);
  const parsed = parseManifest(document.bytes, search.name);
  if (parsed.kind === 'manifest') {
    const found = { descriptor: document.descriptor, manifest: parsed.manifest, indexes };
    return certain || (await isOfPlatform(search, found)) ? found : undefined;
  }
  const entries = parsed.manifest.manifests;
  for (const { platform } of entries) {
    if (platform && platform.os !== 'unknown') search.offered.add(formatPlatform(normalizePlatform(platform)));
  }
  for (const entry of matchPlatform(entries, search.platform)) {
    if (!isIndexType(entry.mediaType) && !isManifestType(entry.mediaType)) continue;
    const found = await find(search, entry.digest, [...indexes, document], entry.platform !== undefined);
    if (found) return found;
  }
  return undefined;
}

/** What says nothing about its platform elsewhere is asked itself; an artifact runs nowhere. */
async function isOfPlatform(search: Search, { descriptor, manifest }: FoundManifest): Promise<boolean> {
  if (!isImage(manifest)) return false;
  const { config } = await resolveManifest(search.store, { descriptor, manifest }, search.name, search.options);
  if (matchPlatform([{ ...descriptor, platform: config }], search.platform).length > 0) return true;
  search.offered.add(formatPlatform(normalizePlatform(config)));
  return false;
}
