import { setMaxListeners } from 'node:events';
import { contentKey } from '../plan/content-key.ts';
import type { JsonValue } from '../core/canonical-json.ts';
import { chainId, isDigest, type Digest } from '../core/digest.ts';
import { StkError, isStkError } from '../core/errors.ts';
import { say, withTask, type Emit, type TaskHandle } from '../core/events.ts';
import { Limiter } from '../core/limiter.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { SingleFlight } from '../core/single-flight.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { LayoutStore } from '../oci/layout.ts';
import { layerFormat } from '../oci/media-types.ts';
import { packOptionsKey, type PackOptions } from '../layer/pack-options.ts';
import { convertTarLayer } from '../layer/tar-to-squashfs.ts';
import { layerDescriptor } from './layer-descriptor.ts';
import { lowerStack } from './lower-stack.ts';
import { openArrivingTar, openTarBlob, openTarFile, type ArrivingTarRequest, type OpenTar } from './open-tar.ts';
import type { StackLayer } from './ports.ts';
import type { RecordCache } from './record-cache.ts';
import { sniffCompression } from '../layer/sniff-compression.ts';

export interface ConverterPorts {
  readonly layout: LayoutStore;
  readonly records: RecordCache;
  readonly packing: PackOptions;
  /** Keep the tar blobs of a base in the layout: an image with tar layers is wanted as well. */
  readonly keepTar: boolean;
  readonly emit: Emit;
}

/** What of an image there is to bring. */
export interface ImageLayers {
  /** For progress and messages. */
  readonly name: string;
  readonly layers: readonly Descriptor[];
  /** Of its configuration, one for each layer. */
  readonly diffIds: readonly Digest[];
  /** Called with each layer once it is in the layout, in no order; must not throw. */
  readonly onLayer?: (layer: StackLayer) => void;
}

/** One layer of an image. */
interface WantedLayer extends Pick<ImageLayers, 'name'> {
  readonly store: BlobStore;
  readonly layer: Descriptor;
  readonly diffId: Digest;
}

/** A tar to be converted, wherever it lies. */
interface TarSource {
  readonly digest: Digest;
  readonly label: string;
  readonly group: string;
  /** Digest of the uncompressed tar that the image's configuration promises. */
  readonly diffId: Digest | undefined;
  /** Makes the bytes readable here; called at most once, only if they are needed. */
  open(signal: AbortSignal | undefined): Promise<OpenTar>;
}

interface Conversion {
  readonly source: TarSource;
  /** The layers below, bottom up; brought at the first call. */
  readonly below: () => Promise<readonly StackLayer[]>;
  readonly task: TaskHandle;
}

/** What a layer lies on. */
interface Below {
  /** Digests of the image's layers up to and including this one. */
  readonly stack: readonly Digest[];
  /** Those below it, once they are there. */
  readonly layers: () => Promise<readonly StackLayer[]>;
}

/** What is remembered of a conversion; `dependsOnLower` sends the reader to a key that includes the layers below. */
type ConvertRecord = { readonly squashfs: Descriptor; readonly diffId: Digest } | { readonly dependsOnLower: true };

/**
 * Brings layers of bases into the layout as squashfs. A tar layer is converted once and remembered by source digest and
 * packing options; squashfs layers are copied verbatim. Two bases with a common layer share the work.
 */
export class LayerConverter {
  readonly #ports: ConverterPorts;
  readonly #network = new Limiter(4);
  readonly #cpu = new Limiter(2);
  readonly #fetches = new SingleFlight<string, void>();
  readonly #conversions = new SingleFlight<string, Descriptor>();

  constructor(ports: ConverterPorts) {
    this.#ports = ports;
  }

  /** All layers of an image, bottom up. Layers are fetched and converted side by side. */
  async bring(store: BlobStore, image: ImageLayers, signal?: AbortSignal): Promise<readonly StackLayer[]> {
    const { name, layers, diffIds, onLayer } = image;
    if (layers.length !== diffIds.length) {
      throw new StkError('invalid-input', `${name}: ${layers.length} layers, but ${diffIds.length} diff IDs`);
    }
    const failure = new AbortController();
    const inner = signal ? AbortSignal.any([signal, failure.signal]) : failure.signal;
    // Much of what a layer starts listens; Node takes more than ten listeners for a leak.
    setMaxListeners(0, inner);
    const brought: Promise<StackLayer>[] = [];
    for (const [index, layer] of layers.entries()) {
      const below = brought.slice();
      const stack = layers.slice(0, index + 1).map(({ digest }) => digest);
      const under = { stack, layers: () => Promise.all(below) };
      const one = this.#bringOne({ store, name, layer, diffId: diffIds[index]! }, under, inner);
      if (onLayer) one.then(onLayer, () => {});
      one.catch(() => failure.abort(new StkError('interrupted', 'another layer failed')));
      brought.push(one);
    }
    const settled = await Promise.allSettled(brought);
    const failed = settled.filter(result => result.status === 'rejected').map(result => result.reason as unknown);
    const cause = failed.find(error => !(error instanceof StkError && error.code === 'interrupted')) ?? failed[0];
    if (cause !== undefined) throw cause;
    return Promise.all(brought);
  }

  /** A root filesystem given as one tar file. */
  async bringFile(file: AbsPath, digest: Digest, signal?: AbortSignal): Promise<StackLayer> {
    const source: TarSource = {
      digest,
      label: file,
      group: file,
      diffId: undefined,
      open: () => openTarFile(file),
    };
    const work = () => this.#convert(source, async () => [], signal);
    return { squashfs: await this.#conversions.share(digest, work, signal) };
  }

  async #bringOne(wanted: WantedLayer, below: Below, signal: AbortSignal): Promise<StackLayer> {
    const { store, name, layer, diffId } = wanted;
    const format = layerFormat(layer.mediaType);
    if (format.kind === 'squashfs') {
      await this.#fetch(store, name, layer, signal);
      return { squashfs: layer };
    }
    if (format.kind === 'unknown') throw new StkError('unsupported', `${name}: unknown layer type ${layer.mediaType}`);
    const source: TarSource = {
      digest: layer.digest,
      label: `${name} ${layer.digest.slice(7, 19)}`,
      group: name,
      diffId,
      open: async inner => this.#openTar(store, name, layer, inner ?? signal),
    };
    // The layers below decide what becomes of some layers; of which ones, only the conversion tells.
    const key = `${chainId(below.stack)} ${diffId}`;
    const squashfs = await this.#conversions.share(key, () => this.#convert(source, below.layers, signal), signal);
    if (this.#ports.keepTar) await this.#fetch(store, name, layer, signal);
    return { squashfs, tar: { descriptor: layer, diffId } };
  }

  /** A layout is read where it lies; what comes from anywhere else, or shall be kept, is read while it arrives. */
  async #openTar(store: BlobStore, name: string, layer: Descriptor, signal: AbortSignal): Promise<OpenTar> {
    const { layout, keepTar } = this.#ports;
    const local = store.blobPath && !keepTar ? store : layout;
    if (await local.hasBlob(layer)) return openTarBlob(local, layer, signal);
    const transfer: ArrivingTarRequest['transfer'] = (work, inner) =>
      this.#pull(name, layer, inner, task => work(done => task.progress(done, layer.size)));
    return openArrivingTar({ store, layer, layout, keep: keepTar, transfer, signal });
  }

  /** Copies a blob into the layout verbatim. */
  async #fetch(store: BlobStore, name: string, layer: Descriptor, signal: AbortSignal): Promise<void> {
    const { layout } = this.#ports;
    if (await layout.hasBlob(layer)) return;
    const work = () =>
      this.#pull(name, layer, signal, task =>
        layout.putBlob(layer, () => store.readBlob(layer, { signal }), {
          signal,
          verified: true,
          onProgress: done => task.progress(done, layer.size),
        }),
      );
    await this.#fetches.share(`${layer.digest} ${layer.size}`, work, signal);
  }

  #pull(
    name: string,
    layer: Descriptor,
    signal: AbortSignal,
    work: (task: TaskHandle) => Promise<void>,
  ): Promise<void> {
    const label = { group: name, kind: 'pull', label: layer.digest.slice(7, 19) } as const;
    return this.#network.run(() => withTask(this.#ports.emit, label, work, signal), signal);
  }

  async #convert(
    source: TarSource,
    below: () => Promise<readonly StackLayer[]>,
    signal: AbortSignal | undefined,
  ): Promise<Descriptor> {
    const { packing, records } = this.#ports;
    const inputs: JsonValue = { source: source.digest, packing: packOptionsKey(packing) };
    const key = contentKey('convert', undefined, inputs);
    const lowerKey = async () => {
      const lowers = await below();
      return contentKey('convert', undefined, [inputs, lowers.map(layer => layer.squashfs.digest)]);
    };
    const record = asConvertRecord(await records.get('convert', key));
    const exact =
      record && 'dependsOnLower' in record ? asConvertRecord(await records.get('convert', await lowerKey())) : record;
    if (exact && 'squashfs' in exact && (await this.#ports.layout.hasBlob(exact.squashfs))) {
      assertDiffId(source, exact.diffId);
      return exact.squashfs;
    }
    await using opened = await source.open(signal);
    const label = { group: source.group, kind: 'convert', label: source.label } as const;
    const result = await this.#cpu.run(slot => {
      // What waits for the layers below leaves its place to them.
      const run = (task: TaskHandle) => this.#run(opened, { source, below: () => slot.lend(below), task }, signal);
      return withTask(this.#ports.emit, label, run, signal);
    }, signal);
    if (result.dependsOnLower) await records.put('convert', key, { dependsOnLower: true });
    const value = { squashfs: result.squashfs, diffId: result.diffId } as unknown as JsonValue;
    await records.put('convert', result.dependsOnLower ? await lowerKey() : key, value);
    return result.squashfs;
  }

  async #run(opened: OpenTar, { source, below, task }: Conversion, signal: AbortSignal | undefined) {
    const { layout, packing, emit } = this.#ports;
    await using temporary = await layout.makeTemp();
    await using lower = lowerStack(layout, below);
    const output = joinInside(temporary.path, 'layer');
    const converting = convertTarLayer({
      source: opened.read,
      compression: await sniffCompression(opened.read),
      output,
      options: packing,
      lower,
      onProgress: done => task.progress(done, opened.sizeBytes),
      onWarning: text => say(emit, 'warning', text, source.group),
      ...(signal ? { signal } : {}),
    });
    const blob = await converting.catch(async (error: unknown) => {
      // Of bytes that are not what they should be, that is the thing to say.
      if (isStkError(error, 'invalid-input')) await opened.arrived();
      throw error;
    });
    await opened.arrived();
    assertDiffId(source, blob.diffId);
    const squashfs = layerDescriptor(blob, packing, 'base');
    await layout.adoptBlob(output, squashfs);
    return { squashfs, diffId: blob.diffId, dependsOnLower: blob.dependsOnLower };
  }
}

function assertDiffId(source: TarSource, found: Digest): void {
  if (source.diffId === undefined || source.diffId === found) return;
  throw new StkError('integrity', `layer ${source.digest} does not hold the tar that the image's configuration names`, {
    hint: 'the image is damaged or forged: build or push it again',
    facts: { expected: source.diffId, found },
  });
}

function asConvertRecord(value: JsonValue | undefined): ConvertRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if ('dependsOnLower' in value) return { dependsOnLower: true };
  return 'diffId' in value && isDigest(value['diffId']) && 'squashfs' in value
    ? (value as unknown as ConvertRecord)
    : undefined;
}
