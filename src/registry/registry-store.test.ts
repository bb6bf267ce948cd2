import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { DockerRegistry } from '../../test/rig/docker-registry.ts';
import { FakeRegistry, fakeBlob, type FakeRegistryOptions } from '../../test/rig/fake-registry.ts';
import type { Failure } from '../../test/rig/fake-registry-failures.ts';
import { AsyncScope } from '../core/async-scope.ts';
import { digestOf } from '../core/digest.ts';
import { HttpClient } from '../host/http.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';
import { parseRegistryReference } from '../oci/reference.ts';
import { RegistryStore, type RegistryStoreOptions } from './registry-store.ts';

const REPOSITORY = 'team/app';
const LOGIN = { username: 'user', password: 'secret-word' };
const BYTES = randomBytes(2_000_000);

interface Rig extends AsyncDisposable {
  readonly fake: FakeRegistry;
  readonly store: RegistryStore;
  /** Pauses before retries, which take no time here. */
  readonly delays: number[];
  readonly clock: { nowMs: number };
}

async function start(
  options: FakeRegistryOptions = {},
  storeOptions: Partial<RegistryStoreOptions> = {},
): Promise<Rig> {
  const scope = new AsyncScope();
  const fake = scope.use(await FakeRegistry.start(options));
  const clock = { nowMs: 1_000_000 };
  const delays: number[] = [];
  const delay = async (delayMs: number) => void delays.push(delayMs);
  const client = scope.use(new HttpClient({ delay, now: () => clock.nowMs }));
  const { host, repository } = parseRegistryReference(`docker://${fake.host}/${REPOSITORY}`);
  const store = new RegistryStore({ client, host, repository, ...storeOptions });
  return { fake, store, delays, clock, [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() };
}

const withLogin = { credentials: { kind: 'password', ...LOGIN } } as const;

async function read(store: RegistryStore, descriptor: Descriptor): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.readBlob(descriptor)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function source(bytes: Uint8Array = BYTES): () => AsyncIterable<Uint8Array> {
  return async function* () {
    for (let at = 0; at < bytes.byteLength; at += 100_000) yield bytes.subarray(at, at + 100_000);
  };
}

function descriptorOf(bytes: Uint8Array, mediaType = 'application/octet-stream'): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}

const GET_BLOB = /^GET \/v2\/team\/app\/blobs\/sha256/;

describe('reading a blob', () => {
  it.each<[string, Failure[], number]>([
    ['a dropped connection', [{ kind: 'drop', afterBytes: 700_000 }], 2],
    ['three of them', [1, 2, 3].map(n => ({ kind: 'drop', afterBytes: n * 100_000 })), 4],
    ['a body that ends early in order', [{ kind: 'truncate', toBytes: 900_000, chunked: true }], 2],
    ['an answer that never came', [{ kind: 'drop-answer' }], 2],
    [
      'a busy registry',
      [
        { kind: 'status', status: 503 },
        { kind: 'status', status: 429, headers: { 'retry-after': '1' } },
      ],
      3,
    ],
  ])('goes on after %s', async (_, failures, requests) => {
    await using rig = await start();
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    for (const failure of failures) rig.fake.failNext({ match: GET_BLOB, with: failure });
    expect(digestOf(await read(rig.store, blob))).toBe(blob.digest);
    expect(rig.fake.count(GET_BLOB)).toBe(requests);
    expect(rig.fake.pendingFailures).toBe(0);
  });

  it('asks only for what is missing', async () => {
    await using rig = await start();
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    rig.fake.failNext({ match: GET_BLOB, with: { kind: 'drop', afterBytes: 700_000 } });
    await read(rig.store, blob);
    const ranges = rig.fake.requests.filter(({ url }) => url.includes('/blobs/')).map(({ headers }) => headers.range);
    expect(ranges).toEqual([undefined, 'bytes=700000-']);
  });

  it('skips what it has where the registry ignores the range', async () => {
    await using rig = await start();
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    rig.fake.failNext({ match: GET_BLOB, with: { kind: 'drop', afterBytes: 700_000 } });
    rig.fake.failNext({ match: GET_BLOB, with: { kind: 'ignore-range' } });
    expect(digestOf(await read(rig.store, blob))).toBe(blob.digest);
  });

  it('gets a fresh redirect where the one it had has expired, and tells the other server nothing', async () => {
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN }, redirectBlobs: true }, withLogin);
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    rig.fake.failNext({ match: /^GET \/signed/, with: { kind: 'drop', afterBytes: 400_000 } });
    rig.fake.failNext({ match: /^GET \/signed/, with: { kind: 'status', status: 403 } });
    expect(digestOf(await read(rig.store, blob))).toBe(blob.digest);
    const elsewhere = rig.fake.requests.filter(({ url }) => url.startsWith('/signed'));
    expect(elsewhere.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined, undefined]);
    expect(elsewhere.map(({ headers }) => headers.range)).toEqual([undefined, 'bytes=400000-', 'bytes=400000-']);
  });

  it.each<[string, Failure, string]>([
    ['other bytes', { kind: 'wrong-bytes' }, 'integrity'],
    ['a shorter blob', { kind: 'truncate', toBytes: 1000 }, 'integrity'],
    ['a longer blob', { kind: 'overlong', extraBytes: 1 }, 'integrity'],
    ['an endless redirect', { kind: 'redirect-loop' }, 'registry'],
    ['a redirect to a file', { kind: 'redirect', location: 'file:///etc/passwd' }, 'registry'],
    ['a page of a hotel', { kind: 'html' }, 'registry'],
    ['404', { kind: 'status', status: 404 }, 'not-found'],
    ['403', { kind: 'status', status: 403 }, 'unauthorized'],
    ['400', { kind: 'status', status: 400 }, 'registry'],
    [
      'another range',
      { kind: 'status', status: 206, headers: { 'content-range': 'bytes 5-9/10' }, body: 'abcde' },
      'registry',
    ],
    ['a range of nothing', { kind: 'status', status: 206, body: 'abcde' }, 'registry'],
    ['500 for ever', { kind: 'status', status: 500 }, 'registry'],
    ['a connection that always breaks', { kind: 'drop', afterBytes: 10 }, 'network'],
    ['an answer that never comes', { kind: 'drop-answer' }, 'network'],
  ])('ends with a clear error when given %s', async (_, failure, code) => {
    await using rig = await start();
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    rig.fake.failNext({ match: GET_BLOB, with: failure, times: 1000 });
    await expect(read(rig.store, blob)).rejects.toMatchObject({ code });
    expect(rig.fake.requests.length).toBeLessThan(40);
  });

  it('stops at once when interrupted', async () => {
    await using rig = await start();
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    const controller = new AbortController();
    const reading = (async () => {
      for await (const chunk of rig.store.readBlob(blob, { signal: controller.signal })) {
        if (chunk.byteLength > 0) controller.abort();
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: 'interrupted' });
  });
});

describe('reading a part of a blob', () => {
  it.each([false, true])('gives the bytes asked for, over redirects: %s', async redirectBlobs => {
    await using rig = await start({ redirectBlobs, auth: { kind: 'bearer', ...LOGIN } }, withLogin);
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    for (const [offset, length] of [
      [0, 10],
      [1_000_000, 300_000],
      [1_999_999, 1],
      [5, 0],
    ] as const) {
      const part = await rig.store.readBlobRange(blob, offset, length);
      expect(part.equals(BYTES.subarray(offset, offset + length))).toBe(true);
    }
    // One redirect serves all later reads.
    if (redirectBlobs) expect(rig.fake.count(/^GET \/v2\/team\/app\/blobs/)).toBe(2);
    await expect(rig.store.readBlobRange(blob, 1_999_999, 2)).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('asks the registry again when a remembered redirect has expired', async () => {
    await using rig = await start({ redirectBlobs: true });
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    await rig.store.readBlobRange(blob, 0, 10);
    rig.fake.failNext({ match: /^GET \/signed/, with: { kind: 'status', status: 403 } });
    expect((await rig.store.readBlobRange(blob, 10, 10)).equals(BYTES.subarray(10, 20))).toBe(true);
  });

  it('goes on after a drop', async () => {
    await using rig = await start();
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    rig.fake.failNext({ match: GET_BLOB, with: { kind: 'drop', afterBytes: 1000 } });
    expect((await rig.store.readBlobRange(blob, 500, 5000)).equals(BYTES.subarray(500, 5500))).toBe(true);
    expect(rig.fake.requests.at(-1)?.headers.range).toBe('bytes=1500-5499');
  });

  it('is unsupported, far into a blob, where ranges are ignored', async () => {
    await using rig = await start();
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    rig.fake.failNext({ match: GET_BLOB, with: { kind: 'ignore-range' }, times: 2 });
    expect((await rig.store.readBlobRange(blob, 500, 50)).equals(BYTES.subarray(500, 550))).toBe(true);
    await expect(rig.store.readBlobRange(blob, 1_500_000, 50)).rejects.toMatchObject({ code: 'unsupported' });
  });
});

describe('storing a blob', () => {
  const PATCH = /^PATCH /;
  const PUT = /^PUT .*\/blobs\/uploads/;

  it.each<[string, RegExp, Failure[]]>([
    ['a dropped connection', PATCH, [{ kind: 'drop', afterBytes: 600_000 }]],
    [
      'two of them',
      PATCH,
      [
        { kind: 'drop', afterBytes: 600_000 },
        { kind: 'drop', afterBytes: 500_000 },
      ],
    ],
    ['one before the first byte', PATCH, [{ kind: 'drop', afterBytes: 0 }]],
    ['a lost answer to the upload', PATCH, [{ kind: 'drop-answer' }]],
    ['a lost answer to the end of the upload', PUT, [{ kind: 'drop-answer' }]],
    ['a busy registry', PATCH, [{ kind: 'status', status: 503 }]],
    ['a busy registry at the end', PUT, [{ kind: 'status', status: 502 }]],
    ['a lost upload', PATCH, [{ kind: 'lose-upload' }]],
    ['an upload lost at its end', PUT, [{ kind: 'lose-upload' }]],
    ['a busy registry at the beginning', /^POST /, [{ kind: 'status', status: 500 }]],
  ])('goes on after %s', async (_, match, failures) => {
    for (const locations of ['absolute', 'relative', 'query'] as const) {
      await using rig = await start({ locations });
      for (const failure of failures) rig.fake.failNext({ match, with: failure });
      const blob = descriptorOf(BYTES);
      await rig.store.putBlob(blob, source());
      expect(rig.fake.state.blob(REPOSITORY, blob.digest)?.equals(BYTES)).toBe(true);
      expect(rig.fake.pendingFailures).toBe(0);
    }
  });

  it('sends only what is missing', async () => {
    await using rig = await start();
    rig.fake.failNext({ match: PATCH, with: { kind: 'drop', afterBytes: 600_000 } });
    await rig.store.putBlob(descriptorOf(BYTES), source());
    const patches = rig.fake.requests.filter(({ method }) => method === 'PATCH').map(({ headers }) => headers);
    expect(patches.map(headers => headers['content-range'])).toEqual([undefined, '600000-1999999']);
  });

  it('sends a small one with the request that ends the upload', async () => {
    await using rig = await start();
    const bytes = randomBytes(1000);
    rig.fake.failNext({ match: PUT, with: { kind: 'drop', afterBytes: 0 } });
    await rig.store.putBlob(descriptorOf(bytes), source(bytes));
    expect(rig.fake.state.blob(REPOSITORY, digestOf(bytes))?.equals(bytes)).toBe(true);
    expect(rig.fake.count(PATCH)).toBe(0);
  });

  it.each([
    [300_000, undefined, 7],
    [300_000, 1_000_000, 2],
  ])('sends chunks of %i, at least %s', async (chunkBytes, chunkMinLength, patches) => {
    await using rig = await start(chunkMinLength === undefined ? {} : { chunkMinLength }, { chunkBytes });
    await rig.store.putBlob(descriptorOf(BYTES), source());
    expect(rig.fake.state.blob(REPOSITORY, digestOf(BYTES))?.equals(BYTES)).toBe(true);
    expect(rig.fake.count(PATCH)).toBe(patches);
  });

  it('mounts it from another repository of the same registry, without opening the source', async () => {
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN } }, withLogin);
    const blob = fakeBlob(rig.fake, 'other/app', BYTES);
    const unopened = () => {
      throw new Error('opened');
    };
    await rig.store.putBlob(blob, unopened, { mountFrom: `docker://${rig.fake.host}/other/app` });
    expect(rig.fake.state.blob(REPOSITORY, blob.digest)).toBeDefined();
  });

  it.each(['docker://elsewhere.example/other/app', 'oci:dir', 'docker://HOST/other/empty', 'docker://HOST/team/app'])(
    'uploads where %s cannot be mounted from',
    async mountFrom => {
      await using rig = await start();
      const blob = descriptorOf(BYTES);
      await rig.store.putBlob(blob, source(), { mountFrom: mountFrom.replace('HOST', rig.fake.host) });
      expect(rig.fake.state.blob(REPOSITORY, blob.digest)).toBeDefined();
    },
  );

  it('uploads to another server without telling it the login', async () => {
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN }, redirectUploads: true }, withLogin);
    const blob = descriptorOf(BYTES);
    await rig.store.putBlob(blob, source());
    const elsewhere = rig.fake.requests.filter(({ server, url }) => server === 'second' && !url.startsWith('/token'));
    expect(elsewhere.length).toBeGreaterThan(1);
    expect(elsewhere.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });

  it('gets a new token where one expires during the upload', async () => {
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN } }, { ...withLogin, chunkBytes: 500_000 });
    const blob = descriptorOf(BYTES);
    let expired = false;
    const onProgress = (done: number) => {
      if (done < 900_000 || expired) return;
      expired = true;
      rig.fake.tokens.expire();
    };
    await rig.store.putBlob(blob, source(), { onProgress });
    expect(rig.fake.state.blob(REPOSITORY, blob.digest)?.equals(BYTES)).toBe(true);
    expect(rig.fake.tokens.issued).toBe(2);
  });

  it.each<[string, RegExp, Failure, string]>([
    ['no location', /^POST /, { kind: 'headers', headers: { location: undefined } }, 'registry'],
    ['a location that is a file', /^POST /, { kind: 'headers', headers: { location: 'file:///x' } }, 'registry'],
    ['403', /^POST /, { kind: 'status', status: 403 }, 'unauthorized'],
    ['413', PATCH, { kind: 'status', status: 413 }, 'registry'],
    [
      'another digest at the end',
      PUT,
      { kind: 'headers', headers: { 'docker-content-digest': digestOf('x') } },
      'integrity',
    ],
    ['500 for ever', PATCH, { kind: 'status', status: 500 }, 'registry'],
    ['lost uploads for ever', PATCH, { kind: 'lose-upload' }, 'not-found'],
    ['a connection that always breaks', PATCH, { kind: 'drop', afterBytes: 0 }, 'network'],
  ])('ends with a clear error when given %s', async (_, match, failure, code) => {
    await using rig = await start();
    rig.fake.failNext({ match, with: failure, times: 1000 });
    await expect(rig.store.putBlob(descriptorOf(BYTES), source())).rejects.toMatchObject({ code });
    expect(rig.fake.requests.length).toBeLessThan(60);
  });
});

describe('logging in', () => {
  it('asks for one token and uses it until it expires', async () => {
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN, lifeSeconds: 60 } }, withLogin);
    const blob = fakeBlob(rig.fake, REPOSITORY, Buffer.from('x'));
    for (let round = 0; round < 3; round++) await rig.store.hasBlob(blob);
    expect(rig.fake.tokens.issued).toBe(1);
    rig.clock.nowMs += 50_000;
    await rig.store.hasBlob(blob);
    expect(rig.fake.tokens.issued).toBe(2);
    rig.fake.tokens.expire();
    await rig.store.hasBlob(blob);
    expect(rig.fake.tokens.issued).toBe(3);
  });

  it('shares one token among requests at once', async () => {
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN } }, withLogin);
    const blob = fakeBlob(rig.fake, REPOSITORY, Buffer.from('x'));
    await Promise.all(Array.from({ length: 8 }, () => rig.store.hasBlob(blob)));
    expect(rig.fake.tokens.issued).toBe(1);
  });

  it('pulls anonymously with a token that needs no password', async () => {
    await using rig = await start({ auth: { kind: 'bearer' } });
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    expect(await read(rig.store, blob)).toHaveLength(BYTES.byteLength);
    await expect(rig.store.putBlob(descriptorOf(Buffer.from('y')), source(Buffer.from('y')))).rejects.toMatchObject({
      code: 'unauthorized',
    });
  });

  it('exchanges a refresh token', async () => {
    const credentials = { kind: 'identity-token', token: 'refresh-me' } as const;
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN, refreshToken: 'refresh-me' } }, { credentials });
    await rig.store.ping();
    expect(rig.fake.count(/^POST \/token/)).toBe(1);
  });

  it.each<[string, FakeRegistryOptions, Partial<RegistryStoreOptions>]>([
    ['no password for basic', { auth: { kind: 'basic', ...LOGIN } }, {}],
    ['a wrong password for basic', { auth: { kind: 'basic', username: 'user', password: 'other' } }, withLogin],
    ['a wrong password for a token', { auth: { kind: 'bearer', username: 'user', password: 'other' } }, withLogin],
  ])('is unauthorized with %s, and does not show the password', async (_, options, storeOptions) => {
    await using rig = await start(options, storeOptions);
    const failure = await rig.store.ping().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'unauthorized' });
    expect(JSON.stringify(failure) + String(failure)).not.toMatch(/secret-word|c2VjcmV0/);
  });

  it('ends a loop of refused logins', async () => {
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN } }, withLogin);
    const challenge = `Bearer realm="${rig.fake.secondOrigin}/token",service="x"`;
    rig.fake.failNext({
      match: /^HEAD /,
      with: { kind: 'status', status: 401, headers: { 'www-authenticate': challenge } },
      times: 1000,
    });
    await expect(rig.store.hasBlob(descriptorOf(BYTES))).rejects.toMatchObject({ code: 'unauthorized' });
    expect(rig.fake.count(/^HEAD /)).toBe(2);
  });

  it.each([
    '',
    'Digest realm="x"',
    'Bearer',
    'Bearer realm="not a url"',
    'Bearer realm="http://tokens.example/token"',
    'Bearer realm="ftp://127.0.0.1/token"',
    'Bearer realm="https://user:password@127.0.0.1/token"',
    `Bearer realm="${'x'.repeat(7000)}"`,
  ])('is unauthorized, sending nothing, when challenged with %s', async challenge => {
    await using rig = await start({}, withLogin);
    const headers = { 'www-authenticate': challenge };
    rig.fake.failNext({ match: /^HEAD /, with: { kind: 'status', status: 401, headers }, times: 10 });
    await expect(rig.store.hasBlob(descriptorOf(BYTES))).rejects.toMatchObject({ code: 'unauthorized' });
    expect(rig.fake.requests.every(request => request.headers.authorization === undefined)).toBe(true);
  });

  it.each(['{}', '{"token":7}', '{"token":"two\\r\\nlines"}', 'no json', '{"token":""}'])(
    'is registry when the token server answers %s',
    async body => {
      await using rig = await start({ auth: { kind: 'bearer', ...LOGIN } }, withLogin);
      rig.fake.failNext({ match: /\/token/, with: { kind: 'status', status: 200, body } });
      await expect(rig.store.ping()).rejects.toMatchObject({ code: 'registry' });
    },
  );
});

describe('reading manifests', () => {
  const MANIFEST = manifestOf();

  it('is resolved by HEAD alone where the registry says all there is to say', async () => {
    await using rig = await start();
    rig.fake.state.putManifest(REPOSITORY, 'v1', MANIFEST, MediaType.manifest);
    expect(await rig.store.resolve('v1')).toEqual(descriptorOf(MANIFEST, MediaType.manifest));
    expect(rig.fake.count(/^GET .*manifests/)).toBe(0);
  });

  it.each<[string, Failure]>([
    ['has no digest', { kind: 'headers', headers: { 'docker-content-digest': undefined } }],
    ['has a digest of another kind', { kind: 'headers', headers: { 'docker-content-digest': 'sha512:ab' } }],
    ['has no length', { kind: 'headers', headers: { 'content-length': undefined } }],
    ['has no type', { kind: 'headers', headers: { 'content-type': undefined } }],
    ['is not allowed', { kind: 'status', status: 405 }],
  ])('is resolved by GET where the answer to HEAD %s', async (_, failure) => {
    await using rig = await start();
    rig.fake.state.putManifest(REPOSITORY, 'v1', MANIFEST, MediaType.manifest);
    rig.fake.failNext({ match: /^HEAD/, with: failure });
    expect(await rig.store.resolve('v1')).toEqual(descriptorOf(MANIFEST, MediaType.manifest));
  });

  it.each<[string, Failure, string]>([
    ['other bytes', { kind: 'wrong-bytes' }, 'integrity'],
    [
      'a digest that is not theirs',
      { kind: 'headers', headers: { 'docker-content-digest': digestOf('x') } },
      'integrity',
    ],
    ['a page of a hotel', { kind: 'html' }, 'registry'],
    ['another type', { kind: 'headers', headers: { 'content-type': MediaType.index } }, 'invalid-input'],
    [
      'another type of manifest',
      { kind: 'headers', headers: { 'content-type': MediaType.dockerManifest } },
      'invalid-input',
    ],
    [
      'schema 1',
      { kind: 'headers', headers: { 'content-type': 'application/vnd.docker.distribution.manifest.v1+prettyjws' } },
      'unsupported',
    ],
    ['more than 4 MiB', { kind: 'overlong', extraBytes: 5_000_000 }, 'registry'],
    ['an endless redirect', { kind: 'redirect-loop' }, 'registry'],
    ['404', { kind: 'status', status: 404 }, 'not-found'],
  ])('ends with a clear error when given %s', async (_, failure, code) => {
    await using rig = await start();
    rig.fake.state.putManifest(REPOSITORY, 'v1', MANIFEST, MediaType.manifest);
    rig.fake.failNext({ match: /manifests/, with: failure, times: 10 });
    await expect(rig.store.readManifest('v1')).rejects.toMatchObject({ code });
  });

  it('by digest has to be what was asked for, whatever the registry says', async () => {
    await using rig = await start();
    const other = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [] }));
    const digest = rig.fake.state.putManifest(REPOSITORY, 'v1', MANIFEST, MediaType.manifest);
    const headers = { 'content-type': MediaType.index, 'docker-content-digest': digestOf(other) };
    const lie: Failure = { kind: 'status', status: 200, headers, body: other.toString() };
    rig.fake.failNext({ match: /manifests/, with: lie, times: 3 });
    await expect(rig.store.readManifest(digest)).rejects.toMatchObject({ code: 'integrity' });
    await expect(rig.store.resolve(digest)).rejects.toMatchObject({ code: 'integrity' });
  });

  it.each(['../../secret', 'a/b', '', 'a?b', `sha256:${'A'.repeat(64)}`])(
    'refuses the reference %s',
    async reference => {
      await using rig = await start();
      await expect(rig.store.readManifest(reference)).rejects.toMatchObject({ code: 'invalid-input' });
      expect(rig.fake.requests).toEqual([]);
    },
  );

  it('does not believe a registry that stored something else', async () => {
    await using rig = await start();
    const lie = { kind: 'headers', headers: { 'docker-content-digest': digestOf('x') } } as const;
    rig.fake.failNext({ match: /^PUT/, with: lie });
    const put = rig.store.putManifest(
      { descriptor: descriptorOf(MANIFEST, MediaType.manifest), bytes: MANIFEST },
      'v1',
    );
    await expect(put).rejects.toMatchObject({ code: 'integrity' });
  });
});

function manifestOf(): Buffer {
  const config = descriptorOf(Buffer.from('{}'), MediaType.config);
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.manifest, config, layers: [] }));
}

describe('listing tags', () => {
  it('follows all pages', async () => {
    await using rig = await start({ pageSize: 3 });
    const tags = Array.from({ length: 10 }, (_, index) => `v${index}`);
    for (const tag of tags) rig.fake.state.putManifest(REPOSITORY, tag, manifestOf(), MediaType.manifest);
    expect(await rig.store.tags()).toEqual(tags);
    expect(rig.fake.count(/tags\/list/)).toBe(4);
  });

  it.each<[string, string]>([
    ['to itself', '</v2/team/app/tags/list?n=1000>; rel="next"'],
    ['to another server', '<https://elsewhere.example/v2/team/app/tags/list>; rel="next"'],
    ['to a file', '<file:///etc/passwd>; rel="next"'],
  ])('refuses a link %s', async (_, link) => {
    await using rig = await start();
    rig.fake.state.putManifest(REPOSITORY, 'v1', manifestOf(), MediaType.manifest);
    rig.fake.failNext({ match: /tags\/list/, with: { kind: 'headers', headers: { link } }, times: 10 });
    await expect(rig.store.tags()).rejects.toMatchObject({ code: 'registry' });
    expect(rig.fake.requests.length).toBeLessThan(5);
  });

  it.each(['[]', 'null', '{"tags":7}', '{"tags":[7]}', 'no json'])('refuses the list %s', async body => {
    await using rig = await start();
    rig.fake.failNext({ match: /tags\/list/, with: { kind: 'status', status: 200, body } });
    await expect(rig.store.tags()).rejects.toMatchObject({ code: 'registry' });
  });

  it('takes null for none', async () => {
    await using rig = await start();
    rig.fake.failNext({ match: /tags\/list/, with: { kind: 'status', status: 200, body: '{"tags":null}' } });
    expect(await rig.store.tags()).toEqual([]);
  });
});

describe('reaching the registry', () => {
  it('speaks https with an own authority, and says what is wrong without it', async () => {
    await using registry = await DockerRegistry.start({ tls: true, login: LOGIN });
    await using client = new HttpClient({ delay: async () => {} });
    const { host, repository } = parseRegistryReference(`docker://${registry.host}/app`);
    const common = { client, host, repository, ...withLogin };
    await expect(new RegistryStore(common).ping()).rejects.toMatchObject({ code: 'network' });
    await new RegistryStore({ ...common, tls: { ca: [registry.ca!] } }).ping();
    await new RegistryStore({ ...common, insecure: true }).ping();
  });

  it('is network for a host that is not there, and registry for one that is none', async () => {
    await using rig = await start();
    rig.fake.failNext({ match: /^GET \/v2\/$/, with: { kind: 'status', status: 404 }, times: 3 });
    await expect(rig.store.ping()).rejects.toMatchObject({ code: 'registry' });
    await using client = new HttpClient({ delay: async () => {} });
    const { host, repository } = parseRegistryReference('docker://127.0.0.1:1/app');
    await expect(new RegistryStore({ client, host, repository }).ping()).rejects.toMatchObject({ code: 'network' });
  });
});
