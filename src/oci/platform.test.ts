import { describe, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import type { Descriptor, Platform } from './descriptor.ts';
import { MediaType } from './media-types.ts';
import { MemoryStore } from './memory-store.ts';
import { formatPlatform, matchPlatform, normalizePlatform } from './platform.ts';
import { resolveImage } from './resolve-image.ts';

const AMD64: Platform = { os: 'linux', architecture: 'amd64' };

describe('platforms', () => {
  it.each<[string, string, string | undefined, string]>([
    ['linux', 'x86_64', undefined, 'linux/amd64'],
    ['Linux', 'x64', 'v1', 'linux/amd64'],
    ['linux', 'aarch64', undefined, 'linux/arm64'],
    ['linux', 'arm64', 'v8', 'linux/arm64'],
    ['linux', 'arm', undefined, 'linux/arm/v7'],
    ['linux', 'arm', '6', 'linux/arm/v6'],
    ['linux', 'armhf', undefined, 'linux/arm/v7'],
    ['linux', 'amd64', 'v3', 'linux/amd64/v3'],
    ['macos', 'arm64', undefined, 'darwin/arm64'],
  ])('%s %s %s is %s', (os, architecture, variant, expected) => {
    const platform = { os, architecture, ...(variant === undefined ? {} : { variant }) };
    expect(formatPlatform(normalizePlatform(platform))).toBe(expected);
  });

  it.each<[string, string[]]>([
    ['linux/arm/v7', ['linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5', 'none']],
    ['linux/arm/v6', ['linux/arm/v6', 'linux/arm/v5', 'none']],
    ['linux/amd64', ['linux/amd64', 'none']],
    ['linux/amd64/v3', ['linux/amd64/v3', 'linux/amd64', 'none']],
    ['linux/arm64', ['linux/arm64/v8', 'none']],
    ['linux/s390x', ['none']],
  ])('%s prefers its own variant, then lower ones', (wanted, expected) => {
    const offered = ['linux/arm/v5', 'linux/arm/v7', 'linux/arm/v6', 'linux/amd64', 'linux/amd64/v3', 'linux/arm64/v8'];
    const entries = [entry('none'), ...offered.map(entry), entry('unknown/unknown'), entry('windows/amd64')];
    expect(matchPlatform(entries, platformOf(wanted)!).map(({ artifactType }) => artifactType)).toEqual(expected);
  });
});

function platformOf(text: string): Platform | undefined {
  const [os, architecture, variant] = text.split('/');
  return architecture === undefined
    ? undefined
    : { os: os!, architecture, ...(variant === undefined ? {} : { variant }) };
}

/** Its `artifactType` is the label that the test looks at. */
function entry(label: string): Descriptor {
  const platform = platformOf(label);
  const base = { mediaType: MediaType.manifest, digest: digestOf(label), size: 1, artifactType: label };
  return platform ? { ...base, platform } : base;
}

describe('resolving an image', () => {
  it('takes a lone image as it is, whatever its platform', async () => {
    const store = new MemoryStore();
    const image = await putImage(store, 'arm64');
    await put(store, image.document, 'one');
    const found = await resolveImage(store, 'one', AMD64);
    expect(found.descriptor.digest).toBe(image.descriptor.digest);
    expect(found.config.architecture).toBe('arm64');
  });

  it('picks from nested indexes, reading configurations where an index is silent', async () => {
    const store = new MemoryStore();
    const arm = await putImage(store, 'arm64');
    const amd = await putImage(store, 'amd64');
    const inner = await put(store, indexOf([arm.descriptor, amd.descriptor]));
    await put(
      store,
      indexOf([{ ...arm.descriptor, platform: { os: 'linux', architecture: 'arm64' } }, inner]),
      'multi',
    );
    expect((await resolveImage(store, 'multi', AMD64)).descriptor.digest).toBe(amd.descriptor.digest);
  });

  it('says what there is where the platform is missing', async () => {
    const store = new MemoryStore();
    const arm = await putImage(store, 'arm64');
    await put(store, indexOf([{ ...arm.descriptor, platform: { os: 'linux', architecture: 'arm64' } }]), 'multi');
    const resolved = resolveImage(store, 'multi', AMD64);
    await expect(resolved).rejects.toMatchObject({ code: 'not-found', hint: 'it has: linux/arm64' });
  });

  it('bounds what it reads of a deep and of a wide tree of indexes', async () => {
    const store = new MemoryStore();
    let inner = (await putImage(store, 'amd64')).descriptor;
    for (let depth = 0; depth < 8; depth++) inner = await put(store, indexOf([inner]), 'deep');
    await expect(resolveImage(store, 'deep', AMD64)).rejects.toMatchObject({ code: 'invalid-input' });
    const wide: Descriptor[] = [];
    for (let index = 0; index < 50; index++) wide.push((await putImage(store, 'arm64', `layer ${index}`)).descriptor);
    await put(store, indexOf(wide), 'wide');
    await expect(resolveImage(store, 'wide', AMD64)).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it.each<[string, object, string]>([
    ['layers without diff IDs', { rootfs: { type: 'layers', diff_ids: [] } }, 'invalid-input'],
    ['no rootfs', { rootfs: 7 }, 'invalid-input'],
    ['an Env that is no list', { config: { Env: 'PATH=/' } }, 'invalid-input'],
  ])('refuses a configuration with %s', async (_, change, code) => {
    const store = new MemoryStore();
    const image = await putImage(store, 'amd64', 'layer', change);
    await put(store, image.document, 'bad');
    await expect(resolveImage(store, 'bad', AMD64)).rejects.toMatchObject({ code });
  });

  it('refuses an artifact and a configuration too large to be one', async () => {
    const store = new MemoryStore();
    const image = await putImage(store, 'amd64');
    const { config } = image.document as { config: Descriptor };
    await put(store, { ...image.document, config: { ...config, mediaType: MediaType.empty } }, 'artifact');
    await expect(resolveImage(store, 'artifact', AMD64)).rejects.toMatchObject({ code: 'unsupported' });
    await put(store, { ...image.document, config: { ...config, size: 1e12 } }, 'large');
    await expect(resolveImage(store, 'large', AMD64)).rejects.toMatchObject({ code: 'invalid-input' });
  });
});

function indexOf(manifests: readonly Descriptor[]): object {
  return { schemaVersion: 2, mediaType: MediaType.index, manifests };
}

async function put(store: MemoryStore, document: object, tag?: string): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(document));
  const { mediaType } = document as { mediaType: string };
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
  await store.putManifest({ descriptor, bytes }, tag);
  return descriptor;
}

async function putImage(
  store: MemoryStore,
  architecture: string,
  layer = 'layer',
  change: object = {},
): Promise<{ descriptor: Descriptor; document: object }> {
  const digest = digestOf(layer);
  const config = Buffer.from(
    JSON.stringify({ architecture, os: 'linux', rootfs: { type: 'layers', diff_ids: [digest] }, ...change }),
  );
  const configDescriptor = { mediaType: MediaType.config, digest: digestOf(config), size: config.byteLength };
  await store.putBlob(configDescriptor, async function* () {
    yield config;
  });
  const layers = [{ mediaType: MediaType.layerTar, digest, size: layer.length }];
  const document = { schemaVersion: 2, mediaType: MediaType.manifest, config: configDescriptor, layers };
  return { descriptor: await put(store, document), document };
}
