import { describe, expect, it } from 'vitest';
import { fakeBlob } from '../../test/rig/fake-registry.ts';
import type { Failure } from '../../test/rig/fake-registry-failures.ts';
import { BYTES, LOGIN, REPOSITORY, read, start, withLogin } from '../../test/rig/fake-registry-store.ts';
import { digestOf } from '../core/digest.ts';

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
