import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DockerRegistry } from '../../test/rig/docker-registry.ts';
import { absPath } from '../core/paths.ts';
import { digestOf } from '../core/digest.ts';
import { HttpClient } from '../host/http.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { LayoutStore } from '../oci/layout.ts';
import { MediaType } from '../oci/media-types.ts';
import { parseRegistryReference } from '../oci/reference.ts';
import { resolveImage } from '../oci/resolve-image.ts';
import { RegistryStore } from './registry-store.ts';

const LOGIN = { username: 'user', password: 'secret' };
const PLATFORM = { os: 'linux', architecture: 'amd64' };
const run = promisify(execFile);

let registry: DockerRegistry;
let directory: string;
let client: HttpClient;
beforeAll(async () => {
  registry = await DockerRegistry.start({ login: LOGIN });
  directory = await mkdtemp(path.join(tmpdir(), 'stk-interop-'));
  client = new HttpClient();
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

function open(repository: string): RegistryStore {
  const reference = parseRegistryReference(`docker://${registry.host}/${repository}`);
  return new RegistryStore({ client, ...reference, credentials: { kind: 'password', ...LOGIN } });
}

const credentials = `${LOGIN.username}:${LOGIN.password}`;

it('reads what skopeo has pushed, in either format', async () => {
  const layout = await LayoutStore.create(absPath('from-skopeo', directory));
  const layer = await putImage(layout, 'v1');
  for (const format of ['oci', 'v2s2']) {
    const target = `docker://${registry.host}/skopeo/${format}:v1`;
    const flags = ['--dest-creds', credentials, '--dest-tls-verify=false', '--format', format];
    await run('skopeo', ['copy', '--quiet', ...flags, `oci:${layout.directory}:v1`, target]);
    const store = open(`skopeo/${format}`);
    const image = await resolveImage(store, 'v1', PLATFORM);
    expect(image.descriptor.mediaType).toBe(format === 'oci' ? MediaType.manifest : MediaType.dockerManifest);
    expect(image.config.config?.Cmd).toEqual(['/bin/true']);
    expect(image.manifest.layers.map(({ digest }) => digest)).toEqual([layer.digest]);
    let sizeBytes = 0;
    for await (const chunk of store.readBlob(image.manifest.layers[0]!)) sizeBytes += chunk.byteLength;
    expect(sizeBytes).toBe(layer.size);
    expect(await store.tags()).toEqual(['v1']);
  }
});

it('pushes what skopeo reads and can copy', async () => {
  const store = open('ours');
  const layer = await putImage(store, 'v2');
  const reference = `docker://${registry.host}/ours:v2`;
  const { stdout } = await run('skopeo', ['inspect', '--creds', credentials, '--tls-verify=false', reference]);
  expect(JSON.parse(stdout)).toMatchObject({ Architecture: 'amd64', Layers: [layer.digest], RepoTags: ['v2'] });
  const copy = absPath('to-skopeo', directory);
  const flags = ['--src-creds', credentials, '--src-tls-verify=false'];
  await run('skopeo', ['copy', '--quiet', ...flags, reference, `oci:${copy}:v2`]);
  const copied = await LayoutStore.open(copy);
  expect((await copied.resolve('v2'))?.digest).toBe((await store.resolve('v2'))?.digest);
});

async function putImage(store: BlobStore, tag: string): Promise<Descriptor> {
  // An empty tar is 1024 zero bytes; what follows them is not looked at.
  const tar = Buffer.concat([Buffer.alloc(1024), randomBytes(3_000_000)]);
  const layer = await put(store, gzipSync(tar, { level: 1 }), MediaType.layerTarGzip);
  const config = {
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: ['/bin/true'] },
    rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
  };
  const configDescriptor = await put(store, Buffer.from(JSON.stringify(config)), MediaType.config);
  const manifest = { schemaVersion: 2, mediaType: MediaType.manifest, config: configDescriptor, layers: [layer] };
  const bytes = Buffer.from(JSON.stringify(manifest));
  const descriptor = { mediaType: MediaType.manifest, digest: digestOf(bytes), size: bytes.byteLength };
  await store.putManifest({ descriptor, bytes }, tag);
  return layer;
}

async function put(store: BlobStore, bytes: Buffer, mediaType: string): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
  await store.putBlob(descriptor, async function* () {
    yield bytes;
  });
  return descriptor;
}
