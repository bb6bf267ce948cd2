import { AsyncScope } from '../core/async-scope.ts';
import type { Digest } from '../core/digest.ts';
import { mapLimited } from '../core/limiter.ts';
import type { AbsPath } from '../core/paths.ts';
import { openFileReader } from '../host/file-reader.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { VERITY_ROOT } from '../oci/layer-annotations.ts';
import { LayerStack } from '../squashfs/layer-stack.ts';
import { openSquashfs, type SquashfsReader } from '../squashfs/squashfs-reader.ts';
import { openStoreLayer } from './store-layer.ts';
import { Remembered } from '../core/remembered.ts';

/** Layers that are opened side by side: each costs a registry some requests. */
const PARALLEL = 8;

/** Layers of several images, each blob opened once however many of them have it. */
export class OpenLayers implements AsyncDisposable {
  readonly #scope = new AsyncScope();
  readonly #readers = new Remembered<string, SquashfsReader>();
  readonly #signal: AbortSignal | undefined;

  /** @param signal ends openings instead of the callers' own: for a collection that several share */
  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** Opens a layer at its first use; it stays the collection's own. Throws as `openStoreLayer` does. */
  async open(store: BlobStore, descriptor: Descriptor, signal?: AbortSignal): Promise<SquashfsReader> {
    // What another manifest says of the same blob's verity root is that manifest's claim.
    const key = `${descriptor.digest} ${descriptor.annotations?.[VERITY_ROOT] ?? ''}`;
    return this.#once(key, () => openStoreLayer(store, descriptor, this.#signal ?? signal));
  }

  /** As `open`, of a squashfs file on the host. */
  async openFile(file: AbsPath, digest: Digest, signal?: AbortSignal): Promise<SquashfsReader> {
    return this.#once(digest, async () => openSquashfs(await openFileReader(file), signal));
  }

  #once(key: string, open: () => Promise<SquashfsReader>): Promise<SquashfsReader> {
    return this.#readers.get(key, async () => this.#scope.use(await open()));
  }

  /** Several at once, in their order. */
  async all<T>(
    items: readonly T[],
    open: (item: T, signal: AbortSignal) => Promise<SquashfsReader>,
    signal?: AbortSignal,
  ) {
    return mapLimited(items, PARALLEL, open, signal);
  }

  /** A view of layers from the bottom up, not to be disposed; `undefined` for none. */
  async stack(store: BlobStore, layers: readonly Descriptor[], signal?: AbortSignal): Promise<LayerStack | undefined> {
    if (layers.length === 0) return undefined;
    return new LayerStack(await this.all(layers, (layer, inner) => this.open(store, layer, inner), signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#readers.settle();
    await this.#scope[Symbol.asyncDispose]();
  }
}
