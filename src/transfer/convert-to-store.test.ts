import { afterAll, expect, it } from 'vitest';
import { digestOf, type Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import { silent } from '../core/events.ts';
import type { AbsPath } from '../core/paths.ts';
import type { ReadOptions } from '../oci/blob-store.ts';
import type { Descriptor, Manifest } from '../oci/descriptor.ts';
import { LayoutStore } from '../oci/layout.ts';
import { MediaType, layerFormat } from '../oci/media-types.ts';
import { MemoryStore } from '../oci/memory-store.ts';
import { LayerConverter } from '../sources/convert-layers.ts';
import { RecordCache } from '../sources/record-cache.ts';
import { quickOptions, tarOf, temporaryDirectory } from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import { convertToStore } from './convert-to-store.ts';

requires('tool:tar2sqfs');

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());

/** An image of two layers, the upper of which waits for a test. */
class Source extends MemoryStore {
  held: Digest | undefined;
  wait: (signal: AbortSignal | undefined) => Promise<void> = async () => {};

  override async *readBlob(descriptor: Descriptor, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    if (descriptor.digest === this.held) await this.wait(options.signal);
    yield* super.readBlob(descriptor, options);
  }

  async add(bytes: Uint8Array, mediaType: string): Promise<Descriptor> {
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
    await this.putBlob(descriptor, async function* () {
      yield bytes;
    });
    return descriptor;
  }

  static async open(): Promise<Source> {
    const store = new Source();
    const tars = ['lower', 'upper'].map(path => tarOf({ path, type: 'directory' }));
    const layers = await Promise.all(tars.map(tar => store.add(tar, MediaType.layerTar)));
    store.held = layers[1]!.digest;
    const rootfs = { type: 'layers', diff_ids: layers.map(layer => layer.digest) };
    const settings = JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs });
    const config = await store.add(Buffer.from(settings), MediaType.config);
    const manifest: Manifest = { schemaVersion: 2, mediaType: MediaType.manifest, config, layers };
    const bytes = Buffer.from(JSON.stringify(manifest));
    const descriptor = { mediaType: MediaType.manifest, digest: digestOf(bytes), size: bytes.byteLength };
    await store.putManifest({ descriptor, bytes }, 'v1');
    return store;
  }
}

class Destination extends MemoryStore {
  readonly onLayer: () => void;

  constructor(onLayer: () => void) {
    super();
    this.onLayer = onLayer;
  }

  override async putBlob(...call: Parameters<MemoryStore['putBlob']>): Promise<void> {
    await super.putBlob(...call);
    if (layerFormat(call[0].mediaType).kind !== 'unknown') this.onLayer();
  }
}

async function convert(source: Source, destination: MemoryStore, name: string) {
  const layout = await LayoutStore.create(`${home}/${name}` as AbsPath);
  const records = new RecordCache(`${home}/${name}-records` as AbsPath);
  const ports = { layout, records, emit: silent };
  const converter = new LayerConverter({ ...ports, packing: quickOptions, keepTar: false });
  const request = { name, to: 'squashfs', platform: { os: 'linux', architecture: 'amd64' } } as const;
  const from = { store: source, reference: 'v1' };
  return convertToStore(from, request, { ...ports, converter }, { store: destination, tag: 'v2' });
}

it('sends a layer while another is still awaited', async () => {
  const source = await Source.open();
  let arrive = () => {};
  const sent = new Promise<void>(resolve => (arrive = resolve));
  source.wait = () => sent;
  const destination = new Destination(() => arrive());
  const { descriptor } = await convert(source, destination, 'sends');
  expect(await destination.resolve('v2')).toEqual(descriptor);
});

it('stops converting when a layer cannot be sent, and says why', async () => {
  const source = await Source.open();
  source.wait = signal =>
    new Promise((_, reject) => {
      signal?.addEventListener('abort', () => reject(new StkError('interrupted', 'stopped')));
    });
  const destination = new Destination(() => {
    throw new StkError('unauthorized', 'read only');
  });
  await expect(convert(source, destination, 'stops')).rejects.toMatchObject({ code: 'unauthorized' });
  expect(await destination.tags()).toEqual([]);
});
