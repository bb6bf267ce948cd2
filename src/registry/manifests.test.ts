import { describe, expect, it } from 'vitest';
import type { Failure } from '../../test/rig/fake-registry-failures.ts';
import { REPOSITORY, descriptorOf, start } from '../../test/rig/fake-registry-store.ts';
import { start as startServer, type Rig } from '../../test/rig/http-server.ts';
import { digestOf } from '../core/digest.ts';
import { MediaType } from '../oci/media-types.ts';
import { parseRegistryReference } from '../oci/reference.ts';
import { RegistryStore } from './registry-store.ts';

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

describe('listing referrers', () => {
  const PAGE = 4 * 1024 * 1024 - 1000;

  /** A registry whose list of referrers goes on for ever, with one of one type on each page. */
  async function endless(): Promise<Rig> {
    return startServer((_, response, count) => {
      const entry = { ...descriptorOf(Buffer.from(String(count)), MediaType.manifest), artifactType: 'of one' };
      const body = JSON.stringify({ schemaVersion: 2, mediaType: MediaType.index, manifests: [entry] });
      const link = `</v2/team/app/referrers/x?page=${count}>; rel="next"`;
      response.writeHead(200, { 'content-type': MediaType.index, link }).end(body.padEnd(PAGE));
    });
  }

  function open(rig: Rig): RegistryStore {
    const { host, repository } = parseRegistryReference(`docker://${rig.url.host}/team/app`);
    return new RegistryStore({ client: rig.client, host, repository });
  }

  it('ends a list of too many bytes', async () => {
    await using rig = await endless();
    await expect(open(rig).referrers(digestOf('x'))).rejects.toMatchObject({ code: 'registry' });
    expect(rig.requests.length).toBeLessThan(24);
  });

  it('asks for no more pages than its limit needs, and cuts a list of too many bytes', async () => {
    await using rig = await endless();
    expect(await open(rig).referrers(digestOf('x'), 'of one', { limit: 2 })).toHaveLength(2);
    expect(rig.requests.length).toBeLessThan(8);
    expect(await open(rig).referrers(digestOf('x'), 'of another', { limit: 2 })).toEqual([]);
  });
});
