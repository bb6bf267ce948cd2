import { randomBytes } from 'node:crypto';
import type { AsyncScope } from '../../src/core/async-scope.ts';
import { digestOf, type Digest } from '../../src/core/digest.ts';
import { HttpClient } from '../../src/host/http.ts';
import type { ManifestBytes } from '../../src/oci/blob-store.ts';
import { jsonDocument } from '../../src/oci/compose.ts';
import type { Descriptor, Manifest } from '../../src/oci/descriptor.ts';
import { MediaType } from '../../src/oci/media-types.ts';
import { parseRegistryReference } from '../../src/oci/reference.ts';
import { RegistryStore } from '../../src/registry/registry-store.ts';
import { DockerRegistry } from '../rig/docker-registry.ts';
import { FakeRegistry, type FakeRegistryOptions } from '../rig/fake-registry.ts';
import { RawRegistry } from '../rig/raw-registry.ts';

export const FALLBACK_TAG = (digest: Digest) => digest.replace(':', '-');

/** A registry, and what it leaves out of the specification. */
export interface Peer {
  readonly raw: RawRegistry;
  readonly host: string;
  readonly open: (repository: string, options?: { readonly chunkBytes?: number }) => RegistryStore;
  /** Keeps lists of referrers itself. */
  readonly referrers: boolean;
  /** Refuses manifests that name blobs which it does not have. */
  readonly checksReferences: boolean;
}

export interface PeerSettings {
  readonly login?: { readonly username: string; readonly password: string };
  readonly tls?: boolean;
  readonly fake?: FakeRegistryOptions;
}

export async function openPeer({ login, tls = false, fake }: PeerSettings, scope: AsyncScope): Promise<Peer> {
  const started = fake
    ? scope.use(await FakeRegistry.start(fake))
    : scope.use(await DockerRegistry.start({ tls, ...(login ? { login } : {}) }));
  const { host } = started;
  const ca = 'ca' in started ? started.ca : undefined;
  const client = scope.use(new HttpClient({ delay: async () => {} }));
  return {
    raw: scope.use(new RawRegistry({ host, ca, login })),
    host,
    open: (repository, options = {}) => {
      const reference = parseRegistryReference(`docker://${host}/${repository}`);
      return new RegistryStore({
        client,
        host: reference.host,
        repository: reference.repository,
        ...(login ? { credentials: { kind: 'password', ...login } } : {}),
        ...(ca === undefined ? {} : { tls: { ca: [ca] } }),
        ...options,
      });
    },
    referrers: fake !== undefined && fake.referrersApi !== false,
    checksReferences: fake === undefined,
  };
}

export const describeBytes = (bytes: Uint8Array, mediaType = 'application/octet-stream'): Descriptor => {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
};

export async function put(store: RegistryStore, bytes: Uint8Array, mediaType?: string): Promise<Descriptor> {
  const descriptor = describeBytes(bytes, mediaType);
  await store.putBlob(descriptor, async function* () {
    yield bytes;
  });
  return descriptor;
}

export async function readAll(store: RegistryStore, descriptor: Descriptor): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of store.readBlob(descriptor)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** An image of one layer, its blobs pushed by our client. */
export async function pushImage(
  store: RegistryStore,
  tag?: string,
  more: Partial<Manifest> = {},
): Promise<ManifestBytes> {
  const layer = await put(store, randomBytes(2000), MediaType.layerTarGzip);
  const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [layer.digest] } };
  const configDescriptor = await put(store, Buffer.from(JSON.stringify(config)), MediaType.config);
  const manifest = { schemaVersion: 2, mediaType: MediaType.manifest, config: configDescriptor, layers: [layer] };
  const document = jsonDocument({ ...manifest, ...more }, MediaType.manifest);
  await store.putManifest(document, tag);
  return document;
}

/** What one section of the distribution specification asks for, as our client and the registry do it together. */
export interface Row {
  readonly section: string;
  readonly expects: string;
  readonly run: (peer: Peer, repository: string) => Promise<void>;
}
