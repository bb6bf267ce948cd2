import type { AsyncScope } from '../core/async-scope.ts';
import type { Digest } from '../core/digest.ts';
import { StkError, isStkError, messageOf } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { farPlaceJson, settingsOf, type FarPlace } from '../lazy/far-place.ts';
import { rangesOf, type ReadTrace } from '../lazy/read-trace.ts';
import { verityRootOf, type FarLayer, type FarLayers } from '../mount/image-layers.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor, Platform } from '../oci/descriptor.ts';
import { formatImageName, type RegistryName } from '../oci/image-name.ts';
import { LayoutStore } from '../oci/layout.ts';
import { layerFormat } from '../oci/media-types.ts';
import { formatPlatform } from '../oci/platform.ts';
import { findManifest, type FoundManifest } from '../oci/resolve-image.ts';
import { FarBlobs } from './far-blobs.ts';
import { findTrace } from './image-traces.ts';
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
  /** Name of the trace by which layers are fetched ahead; `undefined` for the newest. */
  readonly trace?: string | false | undefined;
  /** Layers are fetched to their end in the background. */
  readonly complete?: boolean;
  /** File that hears what is read; everything is read lazily then, also layers that are here. */
  readonly recordTo?: AbsPath | undefined;
}

export interface LazyImagePorts {
  readonly registries: Registries;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where what is fetched is kept; made where it is missing. */
  readonly cache: AbsPath;
  readonly cacheBytes: number;
  /** How long a reader waits for a registry that is away. */
  readonly patienceMs: number;
  /** Makes an image of squashfs layers in the layout of one with tar layers; returns its manifest. */
  readonly convert: (image: TarImage) => Promise<Descriptor>;
  /** Hears what will take long. */
  readonly say: (text: string) => void;
  /** Holds what was fetched against removal. */
  readonly scope: AsyncScope;
  readonly signal: AbortSignal;
}

/** An image whose layers cannot be read in parts. */
export interface TarImage {
  readonly store: BlobStore;
  /** Of its manifest. */
  readonly digest: Digest;
  readonly platform: Platform;
  readonly layout: LayoutStore;
  readonly name: string;
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
  if (manifest.layers.some(isTar)) {
    const image = { store, digest: descriptor.digest, platform, layout, name: text };
    const { digest } = await convertFirst(wish, { ...image, tag }, manifest.layers, ports);
    return { layout, tag, digest, name: text, far: () => undefined, warnings };
  }
  if (warnings.length === 0) await keepDocuments(store, found, { layout, tag }, signal);
  const farLayers = new Map<Digest, FarLayer>();
  const wantsTrace = wish.trace !== false && warnings.length === 0;
  const trace = wantsTrace ? findTrace(store, descriptor.digest, wish.trace || undefined, { signal }) : undefined;
  // Whoever waits for it comes later.
  trace?.catch(() => {});
  const opener = new Opener(wish, ports, layout, trace);
  await mapLimited(
    distinct(manifest.layers),
    PARALLEL,
    async (layer, inner) => {
      if (layerFormat(layer.mediaType).kind !== 'squashfs' || (!wish.recordTo && (await layout.hasBlob(layer)))) return;
      const far = await opener.farLayer(layer, inner);
      if (far) farLayers.set(layer.digest, far);
      else warnings.push(await fetchWhole(wish, layer, { layout, say: ports.say }, inner));
    },
    signal,
  );
  const far: FarLayers = layer => farLayers.get(layer.digest);
  return { layout, tag, digest: descriptor.digest, name: text, far, warnings };
}

function isTar(layer: Descriptor): boolean {
  return layerFormat(layer.mediaType).kind === 'tar';
}

/** Tar layers come as a whole, and are made squashfs layers: those that were not made before. */
async function convertFirst(
  { requireLazy }: LazyImageWish,
  image: TarImage & { readonly tag: string },
  layers: readonly Descriptor[],
  { convert, say, signal }: LazyImagePorts,
): Promise<Descriptor> {
  const tars = layers.filter(isTar);
  if (requireLazy) {
    throw new StkError('unsupported', `${image.name} cannot be read lazily: ${tars.length} layers are tar`, {
      hint: 'convert it once and publish the result: stk convert, stk publish',
    });
  }
  const sizeBytes = tars.reduce((sum, layer) => sum + layer.size, 0);
  if ((await image.layout.resolve(image.tag)) === undefined) {
    say(`${image.name} has tar layers, which cannot be mounted: converting ${tars.length} of them, ${sizeBytes} bytes`);
  }
  const converted = await convert(image);
  await image.layout.tag(converted, image.tag, signal);
  return converted;
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
  readonly #layout: LayoutStore;
  readonly #trace: Promise<ReadTrace | undefined> | undefined;

  constructor(
    wish: LazyImageWish,
    ports: LazyImagePorts,
    layout: LayoutStore,
    trace: Promise<ReadTrace | undefined> | undefined,
  ) {
    this.#wish = wish;
    this.#layout = layout;
    this.#trace = trace;
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
    const { digest } = descriptor;
    const blob = { digest, sizeBytes: descriptor.size, verityRoot };
    const open = (opening?: AbortSignal) => this.#blobs.open(place, blob, opening);
    try {
      await (await open(signal))[Symbol.asyncDispose]();
    } catch (error) {
      if (isStkError(error, 'unsupported')) return undefined;
      throw error;
    }
    const { complete, recordTo } = this.#wish;
    const trace = await this.#trace;
    const served: FarPlace = {
      ...place,
      ...(trace ? { prefetch: rangesOf(trace, digest) } : {}),
      ...(complete ? { completeAt: this.#layout.blobPath(digest) } : {}),
      ...(recordTo ? { recordTo } : {}),
    };
    return { place: farPlaceJson(served), open };
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
