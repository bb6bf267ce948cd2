import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { AsyncScope } from '../core/async-scope.ts';
import { digestOf, type Digest } from '../core/digest.ts';
import { absPath } from '../core/paths.ts';
import { attachmentTag } from '../oci/attachment-tag.ts';
import { jsonDocument, type Document } from '../oci/compose.ts';
import { APPLY_LIST } from '../oci/layer-annotations.ts';
import { LayoutStore } from '../oci/layout.ts';
import { MediaType } from '../oci/media-types.ts';
import { ImageStores } from '../stores/image-stores.ts';
import { findTargets, type TargetOptions } from './find-targets.ts';

let directory: string;
let scope: AsyncScope;
let layout: LayoutStore;

beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'stk-targets-'));
  scope = new AsyncScope();
  layout = await LayoutStore.create(absPath('oci', directory));
});

afterEach(async () => {
  await scope[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const SSL = { applied: new Map([['ssl', undefined]]), base: 'stay' } as const;

async function put(body: object, mediaType: string, tag?: string): Promise<Document> {
  const document = jsonDocument(body, mediaType);
  await layout.putManifest(document, tag, { named: true });
  return document;
}

/** An image whose one layer nobody reads. */
async function putImage(tag: string | undefined, architecture: string, applies: readonly string[]): Promise<Digest> {
  const layer = { mediaType: MediaType.layerSquashfs, digest: digestOf(`${tag} ${architecture}`), size: 1 };
  const rootfs = { type: 'layers', diff_ids: [layer.digest] };
  const config = jsonDocument({ os: 'linux', architecture, rootfs }, MediaType.config);
  await layout.putBlob(config.descriptor, async function* () {
    yield config.bytes;
  });
  const entries = applies.map(name => ({ name, ref: name, digest: layer.digest, anyBase: false, conflicts: [] }));
  const annotations = applies.length === 0 ? {} : { [APPLY_LIST]: JSON.stringify(entries) };
  const body = {
    schemaVersion: 2,
    mediaType: MediaType.manifest,
    config: config.descriptor,
    layers: [layer],
    annotations,
  };
  return (await put(body, MediaType.manifest, tag)).descriptor.digest;
}

async function putIndex(tag: string, images: readonly (readonly [Digest, string])[]): Promise<Digest> {
  const manifests = images.map(([digest, architecture]) => ({
    mediaType: MediaType.manifest,
    digest,
    size: 1,
    platform: { os: architecture === 'unknown' ? 'unknown' : 'linux', architecture },
  }));
  return (await put({ schemaVersion: 2, mediaType: MediaType.index, manifests }, MediaType.index, tag)).descriptor
    .digest;
}

async function find(ref: string | undefined, options: Partial<TargetOptions> = {}) {
  const { signal } = new AbortController();
  const stores = new ImageStores({
    workingDirectory: absPath('.', directory),
    defaultLayout: layout.directory,
    scratch: absPath('scratch', directory),
    environment: {},
    userAgent: 'test',
    scope,
    signal,
    say: () => {},
  });
  const found = await findTargets({ stores, scope, signal }, ref, { tlsVerify: true, wanted: SSL, ...options });
  return found.targets.map(({ image, tag, expected, index }) => {
    return [tag, image.descriptor.digest, expected, index?.descriptor.digest];
  });
}

it('finds the image of a tag, and what another tag stands for', async () => {
  const app = await putImage('app', 'amd64', ['ssl']);
  const old = await putImage('old', 'amd64', []);
  expect(await find('app')).toEqual([['app', app, app, undefined]]);
  expect(await find('oci:oci:app', { tag: 'old' })).toEqual([['old', app, old, undefined]]);
  expect(await find('app', { tag: 'new' })).toEqual([['new', app, undefined, undefined]]);
  expect(await find(app, { tag: 'app' })).toEqual([['app', app, app, undefined]]);
});

it('finds those images of an index that apply it, by platform where one is named', async () => {
  const [one, two, three] = [
    await putImage(undefined, 'amd64', ['ssl']),
    await putImage(undefined, 'arm64', ['ssl', 'java']),
    await putImage(undefined, 's390x', []),
  ];
  const index = await putIndex('app', [
    [one, 'amd64'],
    [two, 'arm64'],
    [three, 's390x'],
    [one, 'unknown'],
  ]);
  expect(await find('app')).toEqual([one, two].map(digest => ['app', digest, index, index]));
  expect(await find('app', { platform: { os: 'linux', architecture: 'arm64' } })).toEqual([['app', two, index, index]]);
  // Whoever looks into it says that it does not apply it.
  expect(await find('app', { platform: { os: 'linux', architecture: 's390x' } })).toHaveLength(1);
  const none = find('app', { platform: { os: 'linux', architecture: 'arm' } });
  await expect(none).rejects.toMatchObject({ code: 'not-found' });
});

it('finds all of a layout that apply it, and nothing that is about them', async () => {
  const app = await putImage('app', 'amd64', ['ssl']);
  const other = await putImage(undefined, 'arm64', ['ssl']);
  await putImage('plain', 'amd64', []);
  const index = await putIndex('multi', [[other, 'arm64']]);
  await putImage(attachmentTag(app, 'sig'), 'amd64', ['ssl']);
  const all = [
    ['app', app, app, undefined],
    ['multi', other, index, index],
  ];
  expect(await find(undefined, { all: true })).toEqual(all);
  expect(await find('oci:oci', { all: true })).toEqual(all);
  expect(await find('app', { all: true })).toEqual(all.slice(0, 1));
  expect(await find(undefined, { all: true, platform: { os: 'linux', architecture: 'arm64' } })).toEqual(all.slice(1));
});

it.each<[string, string, Partial<TargetOptions>]>([
  ['usage', 'oci:oci', {}],
  ['usage', `sha256:${'a'.repeat(64)}`, { all: true }],
  ['not-found', 'nobody', {}],
  ['unsupported', 'saved.tar', {}],
  ['unsupported', 'empty', {}],
  ['invalid-input', 'docker://h.example/A', {}],
])('answers with %s where %s is to be updated', async (code, ref, options) => {
  await putIndex('empty', []);
  await expect(find(ref, options)).rejects.toMatchObject({ code });
});

it('wants a tag for what was named by its digest', async () => {
  const app = await putImage('app', 'amd64', ['ssl']);
  await expect(find(app)).rejects.toMatchObject({ code: 'usage' });
});
