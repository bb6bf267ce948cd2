import type { AsyncScope } from '../core/async-scope.ts';
import type { Digest } from '../core/digest.ts';
import { StkError, isStkError, messageOf } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { farPlaceJson, settingsOf, type FarPlace } from '../lazy/far-place.ts';
import { verityRootOf, type FarLayer, type FarLayers } from '../mount/image-layers.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor, Platform } from '../oci/descriptor.ts';
import { formatImageName, type RegistryName } from '../oci/image-name.ts';
import { LayoutStore } from '../oci/layout.ts';
import { layerFormat } from '../oci/media-types.ts';
import { formatPlatform } from '../oci/platform.ts';
import { findManifest, type FoundManifest } from '../oci/resolve-image.ts';
import { FarBlobs } from './far-blobs.ts';
import type { Registries } from './registries.ts';

export interface LazyImageWish {
  readonly name: RegistryName;
  readonly store: BlobStore;
  /** A tag, or the digest that was checked. */
  readonly reference: string;
  readonly hostPlatform: Platform;
  readonly insecure: boolean;
  /** What cannot be read lazily is refused. */
  readonly requireLazy: boolean;
}

export interface LazyImagePorts {
  readonly registries: Registries;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where what is fetched is kept; made where it is missing. */
  readonly cache: AbsPath;
  readonly cacheBytes: number;
  /** How long a reader waits for a registry that is away. */
  readonly patienceMs: number;
  /** Hears what will take long. */
  readonly say: (text: string) => void;
  /** Holds what was fetched against removal. */
  readonly scope: AsyncScope;
  readonly signal: AbortSignal;
}

/** An image of a registry in a layout that has everything but layers, and the way to these. */
export interface LazyImage {
  readonly layout: LayoutStore;
  /** In that layout. */
  readonly tag: string;
  /** Of the image's manifest. */
  readonly digest: Digest;
  /** As the user knows it. */
  readonly name: string;
  readonly far: FarLayers;
  readonly warnings: readonly string[];
}

/** Layers that are looked at side by side. */
const PARALLEL = 8;

/**
 * Makes an image of a registry ready to be mounted: manifest and configuration are fetched and kept, layers are not. Those that
 * cannot be read in checked parts are fetched as a whole, which is said, and refused where `requireLazy`. Where the registry
 * cannot be reached, what is kept of the image serves. Throws as `findManifest` and `LazyBlob.open`.
 */
export async function openLazyImage(wish: LazyImageWish, ports: LazyImagePorts): Promise<LazyImage> {
  const { name, store } = wish;
  const { cache, scope, signal } = ports;
  const layout = await LayoutStore.create(joinInside(cache, 'layout'));
  scope.use(await layout.lockBlobs('shared', { signal }));
  const text = formatImageName(name);
  const platform = name.platform ?? wish.hostPlatform;
  const tag = name.platform === undefined ? text : `${text} ${formatPlatform(name.platform)}`;
  const warnings: string[] = [];
  const found = await findManifest(store, wish.reference, platform, {
    signal,
    exact: name.platform !== undefined,
  }).catch(async (error: unknown): Promise<FoundManifest> => {
    if (!isStkError(error, 'network') || (await layout.resolve(tag)) === undefined) throw error;
    warnings.push(`${text} is taken from what was kept of it: ${messageOf(error)}`);
    return findManifest(layout, tag, platform, { signal });
  });
  const { descriptor, manifest } = found;
  if (warnings.length === 0) await keepDocuments(store, found, { layout, tag }, signal);
  const farLayers = new Map<Digest, FarLayer>();
  const opener = new Opener(wish, ports);
  await mapLimited(
    distinct(manifest.layers),
    PARALLEL,
    async (layer, inner) => {
      if (layerFormat(layer.mediaType).kind !== 'squashfs' || (await layout.hasBlob(layer))) return;
      const far = await opener.farLayer(layer, inner);
      if (far) farLayers.set(layer.digest, far);
      else warnings.push(await fetchWhole(wish, layer, { layout, say: ports.say }, inner));
    },
    signal,
  );
  const far: FarLayers = layer => farLayers.get(layer.digest);
  return { layout, tag, digest: descriptor.digest, name: text, far, warnings };
}

function distinct(layers: readonly Descriptor[]): readonly Descriptor[] {
  return [...new Map(layers.map(layer => [layer.digest, layer])).values()];
}

async function keepDocuments(
  store: BlobStore,
  { descriptor, manifest }: FoundManifest,
  { layout, tag }: Pick<LazyImage, 'layout' | 'tag'>,
  signal: AbortSignal,
): Promise<void> {
  await layout.putBlob(manifest.config, () => store.readBlob(manifest.config, { signal }), { signal, verified: true });
  if ((await layout.resolve(tag))?.digest === descriptor.digest) return;
  const bytes = await store.readManifest(descriptor.digest, { signal });
  await layout.putManifest(bytes, tag, { signal });
}

/** Finds out how layers can be read. */
class Opener {
  readonly #wish: LazyImageWish;
  readonly #ports: LazyImagePorts;
  readonly #blobs: FarBlobs;

  constructor(wish: LazyImageWish, ports: LazyImagePorts) {
    this.#wish = wish;
    this.#ports = ports;
    // Whoever starts something is told soon that the registry is away.
    this.#blobs = new FarBlobs({ registriesOf: () => ports.registries, patienceMs: 0 });
  }

  /** `undefined` for a layer of which only the whole can be checked, or had. */
  async farLayer(descriptor: Descriptor, signal: AbortSignal): Promise<FarLayer | undefined> {
    const verityRoot = verityRootOf(descriptor);
    if (verityRoot === undefined) return undefined;
    const { host, repository } = this.#wish.name;
    const { environment, cache, cacheBytes, patienceMs } = this.#ports;
    const place: FarPlace = {
      host,
      repository,
      mediaType: descriptor.mediaType,
      insecure: this.#wish.insecure,
      cache,
      cacheBytes,
      patienceMs,
      environment: settingsOf(environment),
    };
    const blob = { digest: descriptor.digest, sizeBytes: descriptor.size, verityRoot };
    const open = (opening?: AbortSignal) => this.#blobs.open(place, blob, opening);
    try {
      await (await open(signal))[Symbol.asyncDispose]();
    } catch (error) {
      if (isStkError(error, 'unsupported')) return undefined;
      throw error;
    }
    return { place: farPlaceJson(place), open };
  }
}

/** Returns what is to be said of it. */
async function fetchWhole(
  { store, requireLazy }: LazyImageWish,
  layer: Descriptor,
  { layout, say }: Pick<LazyImagePorts, 'say'> & { readonly layout: LayoutStore },
  signal: AbortSignal,
): Promise<string> {
  const why = verityRootOf(layer) === undefined ? 'it has no verity root' : 'the registry does not give parts of blobs';
  if (requireLazy) {
    throw new StkError('unsupported', `layer ${layer.digest} cannot be read lazily: ${why}`, {
      hint: 'leave --require-lazy out: the layer is then downloaded as a whole',
      facts: { digest: layer.digest, sizeBytes: layer.size },
    });
  }
  say(`downloading layer ${layer.digest} as a whole (${layer.size} bytes): ${why}`);
  await layout.putBlob(layer, () => store.readBlob(layer, { signal }), { signal, verified: true });
  return `layer ${layer.digest} was downloaded as a whole: ${why}`;
}
