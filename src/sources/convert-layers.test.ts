import { mkdir } from 'node:fs/promises';
import { afterAll, expect, it } from 'vitest';
import { digestOf, type Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import { silent, type StkEvent } from '../core/events.ts';
import type { AbsPath } from '../core/paths.ts';
import type { ReadOptions } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { LayoutStore } from '../oci/layout.ts';
import { MediaType } from '../oci/media-types.ts';
import { MemoryStore } from '../oci/memory-store.ts';
import { quickOptions, tarOf, temporaryDirectory } from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import { LayerConverter, type ConverterPorts, type ImageLayers } from './convert-layers.ts';
import { RecordCache } from './record-cache.ts';

requires('tool:tar2sqfs');

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());

/** A store whose blobs begin to arrive when a test lets them. */
class HeldStore extends MemoryStore {
  readonly held = new Map<Digest, (signal: AbortSignal | undefined) => Promise<void>>();

  override async *readBlob(descriptor: Descriptor, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    await this.held.get(descriptor.digest)?.(options.signal);
    yield* super.readBlob(descriptor, options);
  }
}

function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>(resolve => (open = resolve));
  return { opened, open: () => open() };
}

let converters = 0;

async function converter(more: Partial<ConverterPorts> = {}): Promise<LayerConverter> {
  const place = `${home}/${++converters}`;
  await mkdir(place);
  const layout = await LayoutStore.create(`${place}/oci` as AbsPath);
  const records = new RecordCache(`${place}/records` as AbsPath);
  return new LayerConverter({ layout, records, packing: quickOptions, keepTar: false, emit: silent, ...more });
}

async function layerIn(
  store: MemoryStore,
  bytes: Uint8Array,
  mediaType: string = MediaType.layerTar,
): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
  await store.putBlob(descriptor, async function* () {
    yield bytes;
  });
  return descriptor;
}

const image = (name: string, layers: readonly Descriptor[]): ImageLayers => {
  return { name, layers, diffIds: layers.map(layer => layer.digest) };
};
const untilAborted = (signal: AbortSignal | undefined) =>
  new Promise<void>((_, reject) => {
    signal?.addEventListener('abort', () => reject(new StkError('interrupted', 'another layer failed')));
  });

/** Nothing but a file: its directory is the lower layers' business. */
const copied = tarOf({ path: 'etc/app.conf', content: 'app' });
const over = (mode: number) => tarOf({ path: 'etc', type: 'directory', mode });

it('converts a layer anew for each stack that it depends on, side by side too', async () => {
  const store = new MemoryStore();
  const wide = await layerIn(store, over(0o755));
  const narrow = await layerIn(store, over(0o700));
  const app = await layerIn(store, copied);
  const stacks = [
    [wide, app],
    [narrow, app],
    [wide, app, narrow, app],
  ];
  const bring = (by: LayerConverter, layers: readonly Descriptor[]) => by.bring(store, image('x', layers));
  const alone = await Promise.all(stacks.map(async layers => bring(await converter(), layers)));
  const shared = await converter();
  expect(await Promise.all(stacks.map(layers => bring(shared, layers)))).toEqual(alone);
  const [first, second] = alone.map(layers => layers[1]!.squashfs.digest);
  expect(first).not.toBe(second);
});

it('says of a layer what its own image says, whoever else has it too', async () => {
  const store = new MemoryStore();
  const blob = await layerIn(store, Buffer.from('squashfs'), MediaType.layerSquashfs);
  const tar = await layerIn(store, over(0o755));
  const named = (layer: Descriptor, of: string) => ({ ...layer, annotations: { of } });
  const by = await converter();
  const bring = (of: string) => by.bring(store, image(of, [named(blob, of), named(tar, of)]));
  for (const [index, [squashfs, converted]] of (await Promise.all([bring('one'), bring('two')])).entries()) {
    const of = ['one', 'two'][index]!;
    expect(squashfs).toEqual({ squashfs: named(blob, of) });
    expect(converted?.tar?.descriptor).toEqual(named(tar, of));
  }
});

it.each([MediaType.layerSquashfs, MediaType.layerTar])(
  'does not fail with another image that has the same %s',
  async type => {
    const broken = new HeldStore();
    const sound = new MemoryStore();
    const bytes = over(0o755);
    const layer = await layerIn(sound, bytes, type);
    const missing = { ...layer, digest: digestOf('missing') };
    await layerIn(broken, bytes, type);
    broken.held.set(layer.digest, untilAborted);
    const asked = gate();
    broken.held.set(missing.digest, () => asked.opened);
    const by = await converter();
    const failing = by.bring(broken, image('broken', [layer, missing]));
    const bringing = by.bring(sound, image('sound', [layer]));
    asked.open();
    await expect(failing).rejects.toMatchObject({ code: 'not-found' });
    expect(await bringing).toHaveLength(1);
  },
);

it('says that bytes were wrong, not what the conversion made of them', async () => {
  class WrongStore extends MemoryStore {
    override async *readBlob(descriptor: Descriptor): AsyncIterable<Uint8Array> {
      yield Buffer.alloc(descriptor.size, 'x');
      throw new StkError('integrity', 'wrong bytes');
    }
  }
  const layer = { mediaType: MediaType.layerTarGzip, digest: digestOf('x'), size: 4096 };
  const by = await converter();
  const bringing = by.bring(new WrongStore(), image('x', [layer]));
  await expect(bringing).rejects.toMatchObject({ code: 'integrity', message: 'wrong bytes' });
});

it('lets the layers below go first where those above wait for them', async () => {
  const store = new HeldStore();
  const base = await layerIn(store, over(0o755));
  const above = await Promise.all(
    ['a', 'b', 'c'].map(name => layerIn(store, tarOf({ path: `etc/${name}`, content: name }))),
  );
  const converting = gate();
  store.held.set(base.digest, () => converting.opened);
  let started = 0;
  const emit = (event: StkEvent) => {
    if (event.type === 'task-started' && event.kind === 'convert' && ++started === 2) converting.open();
  };
  const layers = [base, ...above];
  expect(await (await converter({ emit })).bring(store, image('x', layers))).toHaveLength(4);
});
