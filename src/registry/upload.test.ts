import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fakeBlob } from '../../test/rig/fake-registry.ts';
import type { Failure } from '../../test/rig/fake-registry-failures.ts';
import {
  BYTES,
  LOGIN,
  REPOSITORY,
  descriptorOf,
  source,
  start,
  withLogin,
} from '../../test/rig/fake-registry-store.ts';
import { digestOf } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { parseRegistryReference } from '../oci/reference.ts';
import type { RegistryPlace, StorePlace } from '../oci/store-place.ts';

function placeOf(repository: string): RegistryPlace {
  const { kind, host, repository: name } = parseRegistryReference(`docker://${repository}`);
  return { kind, host, repository: name };
}

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
    await rig.store.putBlob(blob, unopened, { mountFrom: placeOf(`${rig.fake.host}/other/app`) });
    expect(rig.fake.state.blob(REPOSITORY, blob.digest)).toBeDefined();
  });

  it.each(['elsewhere.example/other/app', '', 'HOST/other/empty', 'HOST/team/app'])(
    'uploads where %j cannot be mounted from',
    async other => {
      await using rig = await start();
      const blob = descriptorOf(BYTES);
      const mountFrom: StorePlace =
        other === '' ? { kind: 'oci', directory: '/dir' as AbsPath } : placeOf(other.replace('HOST', rig.fake.host));
      await rig.store.putBlob(blob, source(), { mountFrom });
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
