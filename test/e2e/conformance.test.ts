import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AsyncScope } from '../../src/core/async-scope.ts';
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
import { requires } from '../rig/gates.ts';
import { RawRegistry } from '../rig/raw-registry.ts';

requires('registry');

const LOGIN = { username: 'user', password: 'pass:word' };
const FALLBACK_TAG = (digest: Digest) => digest.replace(':', '-');

/** A registry, and what it leaves out of the specification. */
interface Peer {
  readonly raw: RawRegistry;
  readonly host: string;
  readonly open: (repository: string, options?: { readonly chunkBytes?: number }) => RegistryStore;
  /** Keeps lists of referrers itself. */
  readonly referrers: boolean;
  /** Refuses manifests that name blobs which it does not have. */
  readonly checksReferences: boolean;
}

interface PeerSettings {
  readonly login?: typeof LOGIN;
  readonly tls?: boolean;
  readonly fake?: FakeRegistryOptions;
}

async function openPeer({ login, tls = false, fake }: PeerSettings, scope: AsyncScope): Promise<Peer> {
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

const describeBytes = (bytes: Uint8Array, mediaType = 'application/octet-stream'): Descriptor => {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
};

async function put(store: RegistryStore, bytes: Uint8Array, mediaType?: string): Promise<Descriptor> {
  const descriptor = describeBytes(bytes, mediaType);
  await store.putBlob(descriptor, async function* () {
    yield bytes;
  });
  return descriptor;
}

async function readAll(store: RegistryStore, descriptor: Descriptor): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of store.readBlob(descriptor)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** An image of one layer, its blobs pushed by our client. */
async function pushImage(store: RegistryStore, tag?: string, more: Partial<Manifest> = {}): Promise<ManifestBytes> {
  const layer = await put(store, randomBytes(2000), MediaType.layerTarGzip);
  const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [layer.digest] } };
  const configDescriptor = await put(store, Buffer.from(JSON.stringify(config)), MediaType.config);
  const manifest = { schemaVersion: 2, mediaType: MediaType.manifest, config: configDescriptor, layers: [layer] };
  const document = jsonDocument({ ...manifest, ...more }, MediaType.manifest);
  await store.putManifest(document, tag);
  return document;
}

/** What one section of the distribution specification asks for, as our client and the registry do it together. */
interface Row {
  readonly section: string;
  readonly expects: string;
  readonly run: (peer: Peer, repository: string) => Promise<void>;
}

const PULL: readonly Row[] = [
  {
    section: 'Determining Support',
    expects: 'GET /v2/ tells whether the registry speaks the protocol and takes the login',
    run: async ({ open }, repository) => expect(await open(repository).ping()).toBeUndefined(),
  },
  {
    section: 'Pulling manifests',
    expects: 'by tag and by digest, the bytes that were pushed by another client',
    run: async ({ open, raw }, repository) => {
      const config = await raw.putBlob(repository, Buffer.from('{}'));
      const descriptor = { mediaType: MediaType.config, digest: config, size: 2 };
      const document = { schemaVersion: 2, mediaType: MediaType.manifest, config: descriptor, layers: [] };
      const digest = await raw.putManifest(repository, 'v1', document, MediaType.manifest);
      for (const reference of ['v1', digest]) {
        const found = await open(repository).readManifest(reference);
        expect(Buffer.from(found.bytes).toString()).toBe(JSON.stringify(document));
        expect(found.descriptor).toMatchObject({ digest, mediaType: MediaType.manifest });
      }
    },
  },
  {
    section: 'Pulling manifests',
    expects: '404 for a tag, a digest and a repository that are not there',
    run: async ({ open }, repository) => {
      const store = open(repository);
      await pushImage(store, 'v1');
      for (const [asked, reference] of [
        [store, 'v2'],
        [store, digestOf('nothing')],
        [open(`${repository}/none`), 'v1'],
      ] as const) {
        await expect(asked.readManifest(reference)).rejects.toMatchObject({ code: 'not-found' });
        expect(await asked.resolve(reference)).toBeUndefined();
      }
    },
  },
  {
    section: 'Pulling blobs',
    expects: 'the bytes, in whole and in ranges; 404 for what is not there',
    run: async ({ open, raw }, repository) => {
      const bytes = randomBytes(300_000);
      const digest = await raw.putBlob(repository, bytes);
      const store = open(repository);
      const descriptor = { ...describeBytes(bytes), digest };
      expect((await readAll(store, descriptor)).equals(bytes)).toBe(true);
      const part = await store.readBlobRange(descriptor, 100_000, 1000);
      expect(part.equals(bytes.subarray(100_000, 101_000))).toBe(true);
      const missing = describeBytes(Buffer.from('missing'));
      await expect(readAll(store, missing)).rejects.toMatchObject({ code: 'not-found' });
    },
  },
  {
    section: 'Checking if content exists in the registry',
    expects: 'HEAD says it of manifests and blobs, with their size',
    run: async ({ open }, repository) => {
      const store = open(repository);
      const { descriptor } = await pushImage(store, 'v1');
      expect(await store.resolve('v1')).toMatchObject(descriptor);
      const blob = await put(store, Buffer.from('here'));
      expect(await store.hasBlob(blob)).toBe(true);
      expect(await store.hasBlob({ ...blob, size: 5 })).toBe(false);
      expect(await store.hasBlob(describeBytes(Buffer.from('not here')))).toBe(false);
    },
  },
];

const PUSH: readonly Row[] = [
  ...[0, 1, 900_000].map((sizeBytes): Row => ({
    section: 'Pushing a blob monolithically',
    expects: `${sizeBytes} bytes arrive`,
    run: async ({ open, raw }, repository) => {
      const bytes = randomBytes(sizeBytes);
      const { digest } = await put(open(repository), bytes);
      const { status, body } = await raw.send('GET', `${repository}/blobs/${digest}`);
      expect([status, body.equals(bytes)]).toEqual([200, true]);
    },
  })),
  {
    section: 'Pushing a blob in chunks',
    expects: 'the chunks arrive in order, the last one shorter',
    run: async ({ open, raw }, repository) => {
      const bytes = randomBytes(700_001);
      const { digest } = await put(open(repository, { chunkBytes: 200_000 }), bytes);
      expect((await raw.send('GET', `${repository}/blobs/${digest}`)).body.equals(bytes)).toBe(true);
    },
  },
  {
    section: 'Pushing blobs',
    expects: 'bytes that do not match their digest leave nothing',
    run: async ({ open, raw }, repository) => {
      const descriptor = describeBytes(randomBytes(1000));
      const wrong = open(repository).putBlob(descriptor, async function* () {
        yield Buffer.alloc(1000);
      });
      await expect(wrong).rejects.toMatchObject({ code: 'integrity' });
      expect((await raw.send('HEAD', `${repository}/blobs/${descriptor.digest}`)).status).toBe(404);
    },
  },
  {
    section: 'Mounting a blob from another repository',
    expects: 'takes no bytes where the registry mounts, and all of them where it has nothing to mount',
    run: async ({ open, raw }, repository) => {
      const bytes = randomBytes(5000);
      const descriptor = await put(open(`${repository}/from`), bytes);
      let reads = 0;
      const source = async function* () {
        reads++;
        yield bytes;
      };
      const { name } = open(`${repository}/from`);
      await open(`${repository}/to`).putBlob(descriptor, source, { mountFrom: name });
      expect(reads).toBe(0);
      const other = open(`${repository}/none`).name;
      await open(`${repository}/third`).putBlob(descriptor, source, { mountFrom: other });
      expect(reads).toBe(1);
      for (const place of ['to', 'third']) {
        expect((await raw.send('HEAD', `${repository}/${place}/blobs/${descriptor.digest}`)).status).toBe(200);
      }
    },
  },
  {
    section: 'Pushing Manifests',
    expects: 'by tag and by digest, under the type that it has, byte for byte',
    run: async ({ open, raw }, repository) => {
      const store = open(repository);
      for (const tag of ['v1', undefined]) {
        const { descriptor, bytes } = await pushImage(store, tag);
        const { status, headers, body } = await raw.send('GET', `${repository}/manifests/${tag ?? descriptor.digest}`, {
          accept: MediaType.manifest,
        });
        expect([status, headers['content-type'], digestOf(body)]).toEqual([200, MediaType.manifest, digestOf(bytes)]);
      }
    },
  },
  {
    section: 'Pushing Manifests',
    expects: 'a tag moves to what is pushed last, and what it named stays under its digest',
    run: async ({ open }, repository) => {
      const store = open(repository);
      const first = await pushImage(store, 'v1');
      const second = await pushImage(store, 'v1');
      expect((await store.resolve('v1'))?.digest).toBe(second.descriptor.digest);
      expect((await store.readManifest(first.descriptor.digest)).descriptor.digest).toBe(first.descriptor.digest);
    },
  },
  {
    section: 'Pushing Manifests',
    expects: 'a manifest that names an absent blob is refused, where the registry looks',
    run: async ({ open, checksReferences }, repository) => {
      const store = open(repository);
      const layers = [describeBytes(Buffer.from('absent'), MediaType.layerTar)];
      const config = await put(store, Buffer.from('{}'), MediaType.config);
      const manifest = { schemaVersion: 2, mediaType: MediaType.manifest, config, layers };
      const pushed = store.putManifest(jsonDocument(manifest, MediaType.manifest), 'v1');
      if (checksReferences) await expect(pushed).rejects.toMatchObject({ code: 'registry' });
      else await pushed;
      expect(await store.tags()).toEqual(checksReferences ? [] : ['v1']);
    },
  },
  {
    section: 'Pushing Manifests with Subject',
    expects: 'the referrer is listed, by the registry or by the client under the fallback tag',
    run: async ({ open, raw, referrers }, repository) => {
      const store = open(repository);
      const subject = (await pushImage(store, 'v1')).descriptor;
      const empty = await put(store, Buffer.from('{}'), MediaType.empty);
      const more = { artifactType: 'application/x.bill', config: empty, layers: [empty], subject };
      const { descriptor } = await pushImage(store, undefined, { ...more, annotations: { of: 'goods' } });
      const path = referrers ? `referrers/${subject.digest}` : `manifests/${FALLBACK_TAG(subject.digest)}`;
      const { status, body } = await raw.send('GET', `${repository}/${path}`, { accept: MediaType.index });
      expect(status).toBe(200);
      const { manifests } = JSON.parse(body.toString()) as { manifests: object[] };
      const entry = { ...descriptor, artifactType: 'application/x.bill', annotations: { of: 'goods' } };
      expect(manifests).toEqual([entry]);
    },
  },
];

const DISCOVERY: readonly Row[] = [
  {
    section: 'Listing Tags',
    expects: 'all of them over all pages; none for a repository that is not there',
    run: async ({ open, raw }, repository) => {
      const store = open(repository);
      const names = ['c', 'a', 'b_1', 'B.2', 'z-3'];
      for (const name of names) await pushImage(store, name);
      expect((await store.tags()).toSorted()).toEqual(names.toSorted());
      expect(await open(`${repository}/none`).tags()).toEqual([]);
      const { body } = await raw.send('GET', `${repository}/tags/list`);
      const listed = (JSON.parse(body.toString()) as { tags: string[] }).tags;
      expect((await store.tags()).slice(0, listed.length).toSorted()).toEqual(listed.toSorted());
    },
  },
  {
    section: 'Listing Referrers',
    expects: 'all of them, those of one type, and none of what nothing refers to',
    run: async ({ open }, repository) => {
      const store = open(repository);
      const subject = (await pushImage(store, 'v1')).descriptor;
      const pushed: Digest[] = [];
      for (const artifactType of ['application/x.one', 'application/x.two', 'application/x.two']) {
        const { descriptor } = await pushImage(store, undefined, { artifactType, subject });
        pushed.push(descriptor.digest);
      }
      const digests = async (type?: string, of = subject.digest) =>
        (await store.referrers(of, type)).map(({ digest }) => digest).toSorted();
      expect(await digests()).toEqual(pushed.toSorted());
      expect(await digests('application/x.two')).toEqual(pushed.slice(1).toSorted());
      expect(await digests('application/x.three')).toEqual([]);
      expect(await digests(undefined, pushed[0])).toEqual([]);
    },
  },
  {
    section: 'Listing Referrers',
    expects: 'where the registry has no such list, what other clients kept under the fallback tag is read and kept',
    run: async ({ open, raw, referrers }, repository) => {
      const store = open(repository);
      const subject = (await pushImage(store, 'v1')).descriptor;
      const answer = await raw.send('GET', `${repository}/referrers/${subject.digest}`);
      expect(answer.status).toBe(referrers ? 200 : 404);
      if (referrers) return;
      const other = (await pushImage(store)).descriptor;
      const entry = { ...other, artifactType: 'application/x.other' };
      const index = { schemaVersion: 2, mediaType: MediaType.index, manifests: [entry] };
      await raw.putManifest(repository, FALLBACK_TAG(subject.digest), index, MediaType.index);
      expect(await store.referrers(subject.digest)).toMatchObject([entry]);
      const ours = (await pushImage(store, undefined, { artifactType: 'application/x.ours', subject })).descriptor;
      const found = (await store.referrers(subject.digest)).map(({ digest }) => digest);
      expect(found.toSorted()).toEqual([other.digest, ours.digest].toSorted());
    },
  },
];

const MANAGEMENT: readonly Row[] = [
  {
    section: 'Deleting tags',
    expects: 'where the registry deletes by digest only, the tag stays what it was',
    run: async ({ open, raw }, repository) => {
      const store = open(repository);
      const { descriptor } = await pushImage(store, 'v1');
      const { status } = await raw.send('DELETE', `${repository}/manifests/v1`);
      expect([400, 405]).toContain(status);
      expect((await store.resolve('v1'))?.digest).toBe(descriptor.digest);
    },
  },
  {
    section: 'Deleting manifests',
    expects: 'what was deleted is gone, its tags with it, and can be pushed again',
    run: async ({ open, raw }, repository) => {
      const store = open(repository);
      const image = await pushImage(store, 'v1');
      const { status } = await raw.send('DELETE', `${repository}/manifests/${image.descriptor.digest}`);
      expect(status).toBe(202);
      for (const reference of ['v1', image.descriptor.digest]) {
        expect(await store.resolve(reference)).toBeUndefined();
        await expect(store.readManifest(reference)).rejects.toMatchObject({ code: 'not-found' });
      }
      await store.putManifest(image, 'v1');
      expect((await store.resolve('v1'))?.digest).toBe(image.descriptor.digest);
    },
  },
  {
    section: 'Deleting blobs',
    expects: 'what was deleted is gone, and is sent again',
    run: async ({ open, raw }, repository) => {
      const store = open(repository);
      const bytes = randomBytes(1000);
      const blob = await put(store, bytes);
      const { status } = await raw.send('DELETE', `${repository}/blobs/${blob.digest}`);
      expect(status).toBe(202);
      expect(await store.hasBlob(blob)).toBe(false);
      await expect(readAll(store, blob)).rejects.toMatchObject({ code: 'not-found' });
      await put(store, bytes);
      expect((await readAll(store, blob)).equals(bytes)).toBe(true);
    },
  },
];

const PEERS: readonly (readonly [string, PeerSettings])[] = [
  ['docker-registry', {}],
  ['docker-registry over TLS with a login', { tls: true, login: LOGIN }],
  ['the fake registry with referrers', { fake: { pageSize: 2, redirectBlobs: true } }],
  ['the fake registry without referrers', { fake: { referrersApi: false, locations: 'relative' } }],
];

describe.each(PEERS)('%s', (_name, settings) => {
  const scope = new AsyncScope();
  let peer: Peer;
  let count = 0;
  beforeAll(async () => void (peer = await openPeer(settings, scope)));
  afterAll(() => scope[Symbol.asyncDispose]());

  const categories: [string, readonly Row[]][] = [
    ['pull', PULL],
    ['push', PUSH],
    ['content discovery', DISCOVERY],
  ];
  // The fake one deletes nothing.
  if (!settings.fake) categories.push(['content management', MANAGEMENT]);
  describe.each(categories)('%s', (_category, rows) => {
    it.each(rows.map(row => [row.section, row.expects, row.run] as const))('%s: %s', (_section, _expects, run) =>
      run(peer, `conformance/n${++count}`),
    );
  });

  it('Error Codes: a wrong login is unauthorized, whatever is asked for', async () => {
    if (!settings.login) return;
    const { host, repository } = parseRegistryReference(`docker://${peer.host}/conformance/locked`);
    await using client = new HttpClient({ delay: async () => {} });
    const credentials = { kind: 'password', username: 'user', password: 'wrong' } as const;
    const store = new RegistryStore({ client, host, repository, credentials, insecure: true });
    const requests: readonly (() => Promise<unknown>)[] = [
      () => store.ping(),
      () => store.tags(),
      () => store.readManifest('v1'),
      () => put(store, Buffer.from('x')),
    ];
    for (const ask of requests) {
      await expect(ask()).rejects.toMatchObject({ code: 'unauthorized' });
    }
  });
});
