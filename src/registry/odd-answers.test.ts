import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  BYTES,
  LOGIN,
  REPOSITORY,
  descriptorOf,
  read,
  source,
  start,
  withLogin,
} from '../../test/rig/fake-registry-store.ts';
import { digestOf } from '../core/digest.ts';
import { MediaType } from '../oci/media-types.ts';

const MANIFEST = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: MediaType.manifest,
    config: descriptorOf(Buffer.from('{}'), MediaType.config),
    layers: [],
  }),
);
const STORED = { descriptor: descriptorOf(MANIFEST, MediaType.manifest), bytes: MANIFEST };
const NO_DIGEST = { 'docker-content-digest': undefined };

it('pushes a blob where the registry cannot say whether it has it', async () => {
  await using rig = await start();
  rig.fake.failNext({ match: /^HEAD .*blobs/, with: { kind: 'status', status: 500 }, times: 1000 });
  const descriptor = descriptorOf(BYTES);
  await rig.store.putBlob(descriptor, source(BYTES));
  expect(rig.fake.state.blob(REPOSITORY, descriptor.digest)?.equals(BYTES)).toBe(true);
  await expect(rig.store.hasBlob(descriptor)).rejects.toMatchObject({ code: 'registry' });
});

describe('statuses of success', () => {
  it.each([200, 202, 203, 204])('takes %i for a manifest that is stored', async status => {
    for (const tag of ['v1', undefined]) {
      await using rig = await start();
      rig.fake.failNext({ match: /^PUT .*manifests/, with: { kind: 'headers', status, headers: NO_DIGEST } });
      await rig.store.putManifest(STORED, tag);
      expect(await rig.store.resolve(tag ?? STORED.descriptor.digest)).toMatchObject({
        digest: STORED.descriptor.digest,
      });
      expect(rig.fake.pendingFailures).toBe(0);
    }
  });

  it('waits for a manifest that the registry stores later', async () => {
    await using rig = await start();
    rig.fake.failNext({ match: /^PUT .*manifests/, with: { kind: 'headers', status: 202, headers: {} } });
    rig.fake.failNext({ match: /^(HEAD|GET) .*manifests/, with: { kind: 'status', status: 404 }, times: 2 });
    await rig.store.putManifest(STORED, 'v1');
    expect(rig.delays.length).toBeGreaterThan(0);
  });

  it('does not believe that a manifest is stored which is not there', async () => {
    await using rig = await start();
    rig.fake.failNext({ match: /^PUT .*manifests/, with: { kind: 'status', status: 202 } });
    await expect(rig.store.putManifest(STORED, 'v1')).rejects.toMatchObject({ code: 'registry' });
    expect(rig.delays.reduce((a, b) => a + b)).toBeLessThanOrEqual(10_000);
  });

  it.each([300, 304, 400, 500])('takes no %i for success', async status => {
    await using rig = await start();
    rig.fake.failNext({ match: /^PUT .*manifests/, with: { kind: 'status', status }, times: 99 });
    await expect(rig.store.putManifest(STORED, 'v1')).rejects.toMatchObject({ code: 'registry' });
  });

  it.each<[string, RegExp, number]>([
    ['the beginning', /^POST /, 200],
    ['the beginning', /^POST /, 201],
    ['the beginning', /^POST /, 204],
    ['bytes', /^PATCH /, 200],
    ['bytes', /^PATCH /, 201],
    ['bytes', /^PATCH /, 204],
    ['the end', /^PUT /, 200],
    ['the end', /^PUT /, 202],
    ['the end', /^PUT /, 204],
  ])('takes for %s of an upload (%s) %i', async (_what, match, status) => {
    for (const bytes of [BYTES, BYTES.subarray(0, 1000)]) {
      await using rig = await start();
      rig.fake.failNext({ match, with: { kind: 'headers', status, headers: NO_DIGEST } });
      await rig.store.putBlob(descriptorOf(bytes), source(bytes));
      expect(rig.fake.state.blob(REPOSITORY, digestOf(bytes))?.equals(bytes)).toBe(true);
    }
  });

  it('does not believe that a blob is stored which is not there', async () => {
    await using rig = await start();
    rig.fake.failNext({ match: /^PUT /, with: { kind: 'status', status: 202 } });
    await expect(rig.store.putBlob(descriptorOf(BYTES), source())).rejects.toMatchObject({ code: 'registry' });
    expect(rig.delays.reduce((a, b) => a + b)).toBeLessThanOrEqual(10_000);
  });
});

describe('a registry that takes no body with the end of an upload', () => {
  it.each([400, 404, 405, 411, 415, 501])('is sent bytes apart from it after %i', async status => {
    await using rig = await start();
    const blobs = [1000, 2000, 0].map(size => randomBytes(size));
    rig.fake.failNext({ match: /^PUT /, with: { kind: 'status', status } });
    for (const bytes of blobs) {
      await rig.store.putBlob(descriptorOf(bytes), source(bytes));
      expect(rig.fake.state.blob(REPOSITORY, digestOf(bytes))?.equals(bytes)).toBe(true);
    }
    // It is asked once only.
    expect([rig.fake.count(/^PATCH /), rig.fake.count(/^PUT /)]).toEqual([2, 4]);
  });

  it('is not sent bytes again for ever', async () => {
    await using rig = await start();
    rig.fake.failNext({ match: /^PUT /, with: { kind: 'status', status: 400 }, times: 99 });
    const bytes = randomBytes(1000);
    await expect(rig.store.putBlob(descriptorOf(bytes), source(bytes))).rejects.toMatchObject({ code: 'registry' });
    expect(rig.fake.count(/^PUT /)).toBe(2);
  });
});

describe('bodies in a coding that nobody asked for', () => {
  it.each([false, true])('reads manifests and lists (chunked: %s)', async chunked => {
    await using rig = await start();
    rig.fake.state.putManifest(REPOSITORY, 'v1', MANIFEST, MediaType.manifest);
    rig.fake.failNext({ match: /^GET /, with: { kind: 'gzip', chunked }, times: 9 });
    expect(Buffer.from((await rig.store.readManifest('v1')).bytes)).toEqual(MANIFEST);
    expect(await rig.store.tags()).toEqual(['v1']);
  });

  const zipped = gzipSync(randomBytes(300_000));
  it.each([
    ['plain bytes', BYTES, 'application/octet-stream'],
    ['text', Buffer.alloc(500_000, 'text '), 'application/octet-stream'],
    ['a compressed layer', zipped, 'application/vnd.oci.image.layer.v1.tar+gzip'],
  ])('reads blobs of %s', async (_what, bytes, mediaType) => {
    for (const chunked of [false, true]) {
      await using rig = await start();
      const blob = { ...descriptorOf(bytes), mediaType };
      rig.fake.state.putBlob(REPOSITORY, bytes);
      rig.fake.failNext({ match: /^GET .*blobs/, with: { kind: 'gzip', chunked } });
      expect(digestOf(await read(rig.store, blob))).toBe(blob.digest);
    }
  });

  it.each([undefined, String(zipped.byteLength)])(
    'takes the name of a layer’s own compression for none (%s)',
    async length => {
      await using rig = await start();
      const blob = { ...descriptorOf(zipped), mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' };
      rig.fake.state.putBlob(REPOSITORY, zipped);
      const headers = { 'content-encoding': 'gzip', 'content-length': length };
      rig.fake.failNext({ match: /^GET .*blobs/, with: { kind: 'headers', headers } });
      expect((await read(rig.store, blob)).equals(zipped)).toBe(true);
    },
  );

  it('goes on with one after a dropped connection', async () => {
    await using rig = await start();
    const text = Buffer.from(Array.from({ length: 200_000 }, (_, index) => String(index * 7919)).join(' '));
    rig.fake.state.putBlob(REPOSITORY, text);
    rig.fake.failNext({ match: /^GET .*blobs/, with: { kind: 'drop', afterBytes: 400_000 } });
    rig.fake.failNext({ match: /^GET .*blobs/, with: { kind: 'gzip' }, times: 9 });
    expect((await read(rig.store, descriptorOf(text))).equals(text)).toBe(true);
  });

  it.each(['gzip', 'br', 'sdch', 'constructor'])('refuses what is no %s', async coding => {
    await using rig = await start();
    rig.fake.state.putManifest(REPOSITORY, 'v1', MANIFEST, MediaType.manifest);
    rig.fake.failNext({ match: /manifests/, with: { kind: 'headers', headers: { 'content-encoding': coding } } });
    await expect(rig.store.readManifest('v1')).rejects.toMatchObject({ code: 'registry' });
  });
});

describe('answers of token servers', () => {
  it.each([
    ['an empty token beside the other', { token: '', access_token: 'T' }],
    ['null beside the other', { token: null, access_token: 'T' }],
    ['both', { token: 'T', access_token: 'T' }],
    ['a life as text', { token: 'T', expires_in: '3600' }],
    ['no life', { token: 'T', expires_in: null }],
    ['a life that is over', { token: 'T', expires_in: 0 }],
  ])('are read with %s', async (_what, answer) => {
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN } }, withLogin);
    rig.fake.state.putManifest(REPOSITORY, 'v1', MANIFEST, MediaType.manifest);
    rig.fake.failNext({ match: /\/token/, with: { kind: 'status', status: 200, body: JSON.stringify(answer) } });
    // The fake registry does not know this token and asks once more.
    await rig.store.readManifest('v1').catch(() => {});
    expect(rig.fake.requests.filter(({ headers }) => headers.authorization === 'Bearer T').length).toBeGreaterThan(0);
  });
});
