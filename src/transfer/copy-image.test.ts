import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { FakeRegistry } from '../../test/rig/fake-registry.ts';
import { LOGIN, start, withLogin } from '../../test/rig/fake-registry-store.ts';
import { AsyncScope } from '../core/async-scope.ts';
import { digestOf } from '../core/digest.ts';
import type { StkEvent } from '../core/events.ts';
import { joinInside } from '../core/paths.ts';
import { HttpClient } from '../host/http.ts';
import { makeTempDir } from '../host/temp-dir.ts';
import type { BlobStore, ManifestBytes } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { LayoutStore } from '../oci/layout.ts';
import { MediaType } from '../oci/media-types.ts';
import { MemoryStore } from '../oci/memory-store.ts';
import { parseRegistryReference } from '../oci/reference.ts';
import { RegistryStore } from '../registry/registry-store.ts';
import { copyImage } from './copy-image.ts';

const ODD_TYPE = 'application/vnd.example.unheard-of';

async function put(store: BlobStore, bytes: Buffer, mediaType: string): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
  await store.putBlob(descriptor, async function* () {
    yield bytes;
  });
  return descriptor;
}

function document(value: object, mediaType: string): ManifestBytes {
  const bytes = Buffer.from(JSON.stringify(value));
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.byteLength }, bytes };
}

interface ImageShape {
  readonly layers?: readonly Descriptor[];
  readonly tag?: string;
  readonly subject?: Descriptor;
}

async function putImage(store: BlobStore, shape: ImageShape = {}): Promise<ManifestBytes> {
  const config = await put(store, randomBytes(20), ODD_TYPE);
  const layers = shape.layers ?? [await put(store, randomBytes(3000), 'application/octet-stream')];
  const { subject } = shape;
  const image = document(
    { schemaVersion: 2, mediaType: MediaType.manifest, config, layers, ...(subject ? { subject } : {}) },
    MediaType.manifest,
  );
  await store.putManifest(image, shape.tag);
  return image;
}

async function putIndex(store: BlobStore, entries: readonly Descriptor[], tag?: string): Promise<ManifestBytes> {
  const index = document({ schemaVersion: 2, mediaType: MediaType.index, manifests: entries }, MediaType.index);
  await store.putManifest(index, tag);
  return index;
}

function openFake(scope: AsyncScope, fake: FakeRegistry, repository: string): RegistryStore {
  const { host } = parseRegistryReference(`docker://${fake.host}/${repository}`);
  const client = scope.use(new HttpClient({ delay: async () => {} }));
  return new RegistryStore({
    client,
    host,
    repository: parseRegistryReference(`docker://${fake.host}/${repository}`).repository,
  });
}

it('copies indexes, nested ones, unknown types and layers that come twice, byte for byte', async () => {
  const source = new MemoryStore('source');
  const layer = await put(source, randomBytes(100), ODD_TYPE);
  const first = await putImage(source, { layers: [layer, layer] });
  const second = await putImage(source, { layers: [layer] });
  const inner = await putIndex(source, [second.descriptor, first.descriptor]);
  const other = await put(source, Buffer.from('no manifest'), ODD_TYPE);
  const root = await putIndex(source, [first.descriptor, inner.descriptor, other], 'all');
  const destination = new MemoryStore('destination');
  const result = await copyImage({ store: source, reference: 'all' }, { store: destination, tag: 'copied' });
  expect(result).toMatchObject({ sentBlobs: 4, presentBlobs: 0 });
  expect((await destination.readManifest('copied')).descriptor.digest).toBe(root.descriptor.digest);
  for (const { descriptor } of [first, second, inner]) {
    expect((await destination.readManifest(descriptor.digest)).descriptor).toEqual(descriptor);
  }
  expect(await destination.hasBlob(other)).toBe(true);
  expect(await copyImage({ store: source, reference: 'all' }, { store: destination, tag: 'copied' })).toMatchObject({
    sentBlobs: 0,
    presentBlobs: 4,
  });
});

it('lists only the tagged root in a layout', async () => {
  await using directory = await makeTempDir(tmpdir(), 'stk-copy');
  const source = new MemoryStore();
  const image = await putImage(source);
  await putIndex(source, [image.descriptor], 'all');
  const layout = await LayoutStore.create(directory.path);
  await copyImage({ store: source, reference: 'all' }, { store: layout, tag: 'x' });
  expect(await layout.tags()).toEqual(['x']);
  expect((await layout.readManifest(image.descriptor.digest)).descriptor.digest).toBe(image.descriptor.digest);
  const copy = new MemoryStore();
  await copyImage({ store: layout, reference: 'x' }, { store: copy, tag: 'y' });
  expect(await copy.tags()).toEqual(['y']);
});

it('copies what refers to an image, and to that, only when asked', async () => {
  const source = new MemoryStore();
  const image = await putImage(source, { tag: 'v1' });
  const sbom = await putImage(source, { subject: image.descriptor });
  const signature = await putImage(source, { subject: sbom.descriptor });
  const tag = `${image.descriptor.digest.replace(':', '-')}.sig`;
  await putImage(source, { tag });
  const [without, all] = [new MemoryStore(), new MemoryStore()];
  await copyImage({ store: source, reference: 'v1' }, { store: without, tag: 'v1' });
  expect(await without.resolve(sbom.descriptor.digest)).toBeUndefined();
  await copyImage({ store: source, reference: 'v1' }, { store: all, tag: 'v1' }, { referrers: true });
  for (const { descriptor } of [sbom, signature]) expect(await all.resolve(descriptor.digest)).toBeDefined();
  expect(await all.tags()).toEqual([tag, 'v1']);
});

it('moves no tag when a blob is missing or a size is wrong', async () => {
  const source = new MemoryStore();
  const missing = { mediaType: ODD_TYPE, digest: digestOf('gone'), size: 4 };
  await putImage(source, { layers: [missing], tag: 'missing' });
  const layer = await put(source, Buffer.from('right'), ODD_TYPE);
  await putImage(source, { layers: [{ ...layer, size: 4 }], tag: 'wrong' });
  await putImage(source, { layers: [layer, { ...layer, size: 6 }], tag: 'two' });
  const image = await putImage(source);
  await putIndex(source, [{ ...image.descriptor, size: 7 }], 'index');
  const destination = new MemoryStore();
  for (const [tag, code] of [
    ['missing', 'not-found'],
    ['wrong', 'integrity'],
    ['two', 'invalid-input'],
    ['index', 'integrity'],
  ] as const) {
    await expect(copyImage({ store: source, reference: tag }, { store: destination, tag: 'v1' })).rejects.toMatchObject(
      { code },
    );
  }
  expect(await destination.tags()).toEqual([]);
});

it('ends on indexes that are nested too deep', async () => {
  const source = new MemoryStore();
  let { descriptor } = await putImage(source);
  for (let depth = 0; depth < 10; depth++) descriptor = (await putIndex(source, [descriptor])).descriptor;
  const copy = copyImage({ store: source, reference: descriptor.digest }, { store: new MemoryStore(), tag: 'x' });
  await expect(copy).rejects.toMatchObject({ code: 'invalid-input' });
});

it('leaves layers to their publisher that may not be copied', async () => {
  const source = new MemoryStore();
  const layer = {
    mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    digest: digestOf('elsewhere'),
    size: 9,
    urls: ['https://publisher.example/layer'],
  };
  await putImage(source, { layers: [layer], tag: 'v1' });
  expect(await copyImage({ store: source, reference: 'v1' }, { store: new MemoryStore(), tag: 'v1' })).toMatchObject({
    sentBlobs: 1,
  });
});

it('sends again what a registry accepted and lost, and says so if it loses it again', async () => {
  await using scope = new AsyncScope();
  const fake = scope.use(await FakeRegistry.start());
  const source = new MemoryStore();
  await putImage(source, { tag: 'v1' });
  const store = openFake(scope, fake, 'app');
  const has = { match: /HEAD \/v2\/app\/blobs/, with: { kind: 'status', status: 404 } } as const;
  fake.failNext({ ...has, times: 3 });
  await copyImage({ store: source, reference: 'v1' }, { store, tag: 'v1' }, { parallel: 1 });
  expect(await store.tags()).toEqual(['v1']);
  fake.failNext({ ...has, times: 100 });
  await expect(
    copyImage({ store: source, reference: 'v1' }, { store, tag: 'v2' }, { parallel: 1 }),
  ).rejects.toMatchObject({ code: 'registry' });
  expect(fake.state.tags('app')).toEqual(['v1']);
});

it('takes blobs from a neighbouring repository, and tells of progress in bytes', async () => {
  await using scope = new AsyncScope();
  const fake = scope.use(await FakeRegistry.start());
  const source = new MemoryStore();
  const big = await put(source, randomBytes(2_000_000), ODD_TYPE);
  await putImage(source, { layers: [big], tag: 'v1' });
  const events: StkEvent[] = [];
  const first = openFake(scope, fake, 'first');
  await copyImage(
    { store: source, reference: 'v1' },
    { store: first, tag: 'v1' },
    { emit: event => events.push(event) },
  );
  const progress = events.flatMap(event =>
    event.type === 'task-progress' && event.totalBytes === big.size ? event.doneBytes : [],
  );
  expect(progress.at(-1)).toBe(big.size);
  expect(progress.toSorted((a, b) => a - b)).toEqual(progress);
  const second = openFake(scope, fake, 'second');
  const result = await copyImage({ store: first, reference: 'v1' }, { store: second, tag: 'v1' });
  expect(result).toMatchObject({ sentBytes: 0, presentBlobs: 2 });
  expect(fake.count(/^PATCH \/v2\/second/)).toBe(0);
});

it('needs one token for what it writes and for what it looks at afterwards', async () => {
  await using rig = await start({ auth: { kind: 'bearer', ...LOGIN } }, withLogin);
  const source = new MemoryStore();
  await putImage(source, { tag: 'v1' });
  await copyImage({ store: source, reference: 'v1' }, { store: rig.store, tag: 'v1' });
  expect(rig.fake.tokens.issued).toBe(1);
});

it('stops when its signal fires', async () => {
  const source = new MemoryStore();
  await putImage(source, { tag: 'v1' });
  const destination = new MemoryStore();
  const copy = copyImage(
    { store: source, reference: 'v1' },
    { store: destination, tag: 'v1' },
    { signal: AbortSignal.abort() },
  );
  await expect(copy).rejects.toMatchObject({ code: 'interrupted' });
  expect(await destination.tags()).toEqual([]);
});

it.each(['layout', 'registry'])('keeps nothing of a blob that its source finds damaged, in a %s', async kind => {
  await using scope = new AsyncScope();
  const directory = scope.use(await makeTempDir(tmpdir(), 'stk-copy'));
  const source = await LayoutStore.create(joinInside(directory.path, 'source'));
  const sizes = [500, 2_000_000];
  const layers = await Promise.all(sizes.map(size => put(source, randomBytes(size), ODD_TYPE)));
  await putImage(source, { layers, tag: 'v1' });
  for (const layer of layers) await writeFile(source.blobPath(layer.digest), randomBytes(layer.size));
  const fake = scope.use(await FakeRegistry.start());
  const destination =
    kind === 'registry' ? openFake(scope, fake, 'app') : await LayoutStore.create(joinInside(directory.path, 'copy'));
  for (const layer of layers) {
    await putImage(source, { layers: [layer], tag: 'one' });
    await expect(
      copyImage({ store: source, reference: 'one' }, { store: destination, tag: 'v1' }),
    ).rejects.toMatchObject({ code: 'integrity' });
    expect(await destination.hasBlob(layer)).toBe(false);
  }
  expect(await destination.tags()).toEqual([]);
});

it('copies one image and not halves of two where the tag moves half-way', async () => {
  class MovingStore extends MemoryStore {
    later: ManifestBytes | undefined;
    override async readManifest(reference: string): Promise<ManifestBytes> {
      const read = await super.readManifest(reference);
      if (this.later) await this.putManifest(this.later, 'x');
      return read;
    }
  }
  const source = new MovingStore();
  const member = async () => (await putImage(source)).descriptor;
  const first = await putIndex(source, [await member(), await member()], 'x');
  const later = await putIndex(source, [await member()]);
  source.later = later;
  const destination = new MemoryStore();
  const copied = await copyImage({ store: source, reference: 'x' }, { store: destination, tag: 'x' });
  expect(copied.root.descriptor.digest).toBe(first.descriptor.digest);
  expect((await destination.resolve('x'))?.digest).toBe(first.descriptor.digest);
  expect(await destination.resolve(later.descriptor.digest)).toBeUndefined();
});
