import { StkError, throwIfAborted } from '../core/errors.ts';
import { digestOf } from '../core/digest.ts';
import { MAX_MANIFEST_BYTES, type BlobStore, type CallOptions } from './blob-store.ts';
import type { Descriptor, ImageConfig, Manifest, Platform } from './descriptor.ts';
import { MediaType, isIndexType } from './media-types.ts';
import { parseImageConfig, parseManifest } from './parse-manifest.ts';

/** An image as found in a store: everything but its layers. */
export interface ResolvedImage {
  /** Of the image's own manifest, never of an index. */
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
}

/** Indexes within indexes are followed this far. */
const MAX_DEPTH = 4;
/** Documents read for one image at most, so that a wide tree of indexes ends too. */
const MAX_DOCUMENTS = 32;

const ARCHITECTURES: ReadonlyMap<string, Platform> = new Map([
  ['x86_64', { os: '', architecture: 'amd64' }],
  ['x86-64', { os: '', architecture: 'amd64' }],
  ['x64', { os: '', architecture: 'amd64' }],
  ['i386', { os: '', architecture: '386' }],
  ['i686', { os: '', architecture: '386' }],
  ['ia32', { os: '', architecture: '386' }],
  ['aarch64', { os: '', architecture: 'arm64' }],
  ['armhf', { os: '', architecture: 'arm', variant: 'v7' }],
  ['armel', { os: '', architecture: 'arm', variant: 'v6' }],
  ['ppc64el', { os: '', architecture: 'ppc64le' }],
]);

/** The names that Go and so image indexes use, whatever `uname` or Node call it; defaults of arm variants filled in. */
export function normalizePlatform(platform: Platform): Platform {
  const written = platform.architecture.toLowerCase();
  const alias = ARCHITECTURES.get(written);
  const architecture = alias?.architecture ?? written;
  const variant = platform.variant?.toLowerCase() ?? alias?.variant;
  const os = platform.os.toLowerCase() === 'macos' ? 'darwin' : platform.os.toLowerCase();
  const usual = normalVariant(architecture, variant);
  return { ...(usual === undefined ? {} : { variant: usual }), os, architecture };
}

function normalVariant(architecture: string, variant: string | undefined): string | undefined {
  if (architecture === 'arm64')
    return variant === undefined || variant === '8' || variant === 'v8' ? undefined : variant;
  if (architecture === 'amd64') return variant === 'v1' ? undefined : variant;
  if (architecture === 'arm') return variant === undefined ? 'v7' : variant.startsWith('v') ? variant : `v${variant}`;
  return variant;
}

export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

/**
 * The entries of an index that run on a platform, best first: the same variant, then lower ones. Entries without a
 * platform come last, since only reading them tells; those of `unknown/unknown` (attestations) never.
 */
export function matchPlatform(entries: readonly Descriptor[], wanted: Platform): readonly Descriptor[] {
  const target = normalizePlatform(wanted);
  const ranked = entries.flatMap(entry => {
    const rank = rankOf(entry, target);
    return rank === undefined ? [] : [{ entry, rank }];
  });
  return ranked.toSorted((a, b) => a.rank - b.rank).map(({ entry }) => entry);
}

function rankOf(entry: Descriptor, target: Platform): number | undefined {
  if (!entry.platform) return 1000;
  const offered = normalizePlatform(entry.platform);
  if (offered.os !== target.os || offered.architecture !== target.architecture) return undefined;
  const distance = variantLevel(target) - variantLevel(offered);
  return Number.isNaN(distance)
    ? offered.variant === target.variant
      ? 0
      : undefined
    : distance < 0
      ? undefined
      : distance;
}

/** Variants of one architecture are upward compatible: v8 runs v7, amd64 v3 runs v2. */
function variantLevel({ architecture, variant }: Platform): number {
  if (variant === undefined) return architecture === 'arm64' ? 8 : 1;
  const [, major, minor] = /^v(\d{1,2})(?:\.(\d{1,2}))?$/.exec(variant) ?? [];
  return major === undefined ? Number.NaN : Number(major) + Number(minor ?? 0) / 100;
}

/**
 * Reads an image's manifest and configuration, picking from indexes by platform. Throws `not-found` where the tag or
 * the platform is missing, `invalid-input` for documents that are malformed, loop or contradict their configuration.
 */
export async function resolveImage(
  store: BlobStore,
  reference: string,
  platform: Platform,
  options: CallOptions = {},
): Promise<ResolvedImage> {
  const search: Search = {
    store,
    name: `${store.name} ${reference}`,
    platform,
    options,
    seen: new Set(),
    offered: new Set(),
  };
  const found = await find(search, reference, 0, true);
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
  if (mediaType !== MediaType.config && mediaType !== MediaType.dockerConfig) {
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

interface Search {
  readonly store: BlobStore;
  readonly name: string;
  readonly platform: Platform;
  readonly options: CallOptions;
  readonly seen: Set<string>;
  readonly offered: Set<string>;
}

/** @param certain whether nothing but this document was asked for, so that a lone image is taken as it is */
async function find(
  search: Search,
  reference: string,
  depth: number,
  certain: boolean,
): Promise<ResolvedImage | undefined> {
  throwIfAborted(search.options.signal);
  if (depth > MAX_DEPTH)
    throw new StkError('invalid-input', `${search.name}: indexes are nested more than ${MAX_DEPTH} deep`);
  if (search.seen.has(reference)) return undefined;
  if (search.seen.size >= MAX_DOCUMENTS) {
    throw new StkError('invalid-input', `${search.name}: more than ${MAX_DOCUMENTS} manifests to look through`);
  }
  search.seen.add(reference);
  const { descriptor, bytes } = await search.store.readManifest(reference, search.options);
  search.seen.add(descriptor.digest);
  const parsed = parseManifest(bytes, search.name);
  if (parsed.kind === 'index') {
    const entries = parsed.manifest.manifests;
    for (const { platform } of entries) {
      if (platform && platform.os !== 'unknown') search.offered.add(formatPlatform(normalizePlatform(platform)));
    }
    for (const entry of matchPlatform(entries, search.platform)) {
      if (
        !isIndexType(entry.mediaType) &&
        entry.mediaType !== MediaType.manifest &&
        entry.mediaType !== MediaType.dockerManifest
      ) {
        continue;
      }
      const found = await find(search, entry.digest, depth + 1, entry.platform !== undefined);
      if (found) return found;
    }
    return undefined;
  }
  return readImage(search, descriptor, parsed.manifest, certain);
}

async function readImage(
  search: Search,
  descriptor: Descriptor,
  manifest: Manifest,
  certain: boolean,
): Promise<ResolvedImage | undefined> {
  const { mediaType } = manifest.config;
  if (!certain && mediaType !== MediaType.config && mediaType !== MediaType.dockerConfig) return undefined;
  const image = await resolveManifest(search.store, { descriptor, manifest }, search.name, search.options);
  if (!certain && matchPlatform([{ ...descriptor, platform: image.config }], search.platform).length === 0) {
    search.offered.add(formatPlatform(normalizePlatform(image.config)));
    return undefined;
  }
  return image;
}

/** A blob that is to be parsed: at most 4 MiB, verified. Throws `invalid-input` for a larger one. */
export async function readSmallBlob(
  store: BlobStore,
  descriptor: Descriptor,
  options: CallOptions = {},
): Promise<Buffer> {
  if (descriptor.size > MAX_MANIFEST_BYTES) {
    throw new StkError(
      'invalid-input',
      `${store.name}: ${descriptor.mediaType} of ${descriptor.size} bytes is too large`,
    );
  }
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of store.readBlob(descriptor, options)) {
    chunks.push(chunk);
    sizeBytes += chunk.byteLength;
    if (sizeBytes > descriptor.size) break;
  }
  const bytes = Buffer.concat(chunks);
  if (digestOf(bytes) !== descriptor.digest) {
    throw new StkError('integrity', `${store.name}: bytes do not match ${descriptor.digest}`);
  }
  return bytes;
}
