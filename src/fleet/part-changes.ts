import type { Digest } from '../core/digest.ts';
import { isStkError } from '../core/errors.ts';
import { Remembered } from '../core/remembered.ts';
import type { FoundPackage } from '../inventory/found-package.ts';
import type { PartCache } from '../inventory/part-cache.ts';
import { readInventory } from '../inventory/read-inventory.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor, Platform } from '../oci/descriptor.ts';
import { APPLY_LIST, parseAppliedEntries } from '../oci/layer-annotations.ts';
import { layerFormat } from '../oci/media-types.ts';
import { findManifest } from '../oci/resolve-image.ts';
import { roleOf } from '../update/update-segments.ts';
import type { ImageState, PartState } from './image-state.ts';
import { packageChanges, type PackageChange } from './package-changes.ts';

export interface ChangesPorts {
  readonly openStore: (ref: string) => Promise<BlobStore>;
  /** What is known of layers. */
  readonly cache: PartCache;
  /** Of images that do not stand in an index. */
  readonly hostPlatform: Platform;
  readonly signal: AbortSignal;
}

/** Which packages differ between a part as images hold it and as it is now; told once for each pair of versions. */
export class PartChanges {
  readonly #ports: ChangesPorts;
  readonly #known = new Remembered<string, readonly PackageChange[] | undefined>();

  constructor(ports: ChangesPorts) {
    this.#ports = ports;
  }

  /** `undefined` where that cannot be read in place: layers are tar, or gone. */
  of(image: ImageState, part: PartState): Promise<readonly PackageChange[] | undefined> {
    const key = [part.held, part.now, image.platform && JSON.stringify(image.platform)].join(' ');
    return this.#known.get(key, () => this.#compare(image, part));
  }

  /** Packages of a part as it is now; `undefined` as for `of`. */
  async now(image: ImageState, part: PartState): Promise<readonly FoundPackage[] | undefined> {
    const { openStore, hostPlatform, signal } = this.#ports;
    if (part.ref === undefined || part.now === undefined) return undefined;
    const store = await openStore(part.ref);
    const found = await findManifest(store, part.now, image.platform ?? hostPlatform, { signal });
    return this.#packages(store, found.manifest.layers);
  }

  async #compare(image: ImageState, part: PartState): Promise<readonly PackageChange[] | undefined> {
    const held = heldLayers(image, part);
    if (held === undefined) return undefined;
    try {
      const [before, after] = [await this.#packages(image.store, held), await this.now(image, part)];
      return before && after && packageChanges(before, after);
    } catch (error) {
      if (isStkError(error, 'not-found', 'unsupported', 'invalid-input')) return undefined;
      throw error;
    }
  }

  async #packages(store: BlobStore, layers: readonly Descriptor[]): Promise<readonly FoundPackage[] | undefined> {
    if (layers.some(({ mediaType }) => layerFormat(mediaType).kind !== 'squashfs')) return undefined;
    const { cache, signal } = this.#ports;
    return (await readInventory(layers, { store, cache, signal })).packages;
  }
}

/** The layers of a part as they lie in the image, bottom up. */
function heldLayers({ manifest }: ImageState, { kind, name }: PartState): readonly Descriptor[] | undefined {
  const base = manifest.layers.filter(layer => roleOf(layer) === 'base');
  if (kind === 'base') return base.length === 0 ? undefined : base;
  const entries = parseAppliedEntries(manifest.annotations?.[APPLY_LIST] ?? '[]') ?? [];
  const held = entries.find(entry => entry.name === name)?.held;
  if (!held) return undefined;
  const byDigest = new Map<Digest, Descriptor>(manifest.layers.map(layer => [layer.digest, layer]));
  const own = held.own.flatMap(digest => byDigest.get(digest) ?? []);
  return own.length === held.own.length ? [...base.slice(0, held.shared), ...own] : undefined;
}
