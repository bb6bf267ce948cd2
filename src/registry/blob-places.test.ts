import { mkdir, readFile, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { BYTES, LOGIN, descriptorOf, source, start, withLogin, type Rig } from '../../test/rig/fake-registry-store.ts';
import { AsyncScope } from '../core/async-scope.ts';
import { digestOf } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { HttpClient } from '../host/http.ts';
import { makeTempDir } from '../host/temp-dir.ts';
import { parseRegistryReference, parseRepository, type RegistryHost } from '../oci/reference.ts';
import { BlobPlaces } from './blob-places.ts';
import { RegistryStore } from './registry-store.ts';

const HOST = 'h.example' as RegistryHost;
const BLOB = descriptorOf(BYTES);
const ONE = parseRepository('team/one');
const TWO = parseRepository('team/two');
const THREE = parseRepository('team/three');

async function directory(scope: AsyncScope): Promise<AbsPath> {
  return scope.use(await makeTempDir(tmpdir(), 'stk-places')).path;
}

/** Of one command: what it learnt is kept at its end. */
async function command(places: BlobPlaces, work: (places: BlobPlaces) => void): Promise<void> {
  work(places);
  await places.save();
}

it('finds another repository, the last one first, in the same command and in a later one', async () => {
  await using scope = new AsyncScope();
  const at = await directory(scope);
  const first = new BlobPlaces(HOST, at);
  expect(await first.find(BLOB.digest, ONE)).toBeUndefined();
  first.add(BLOB, ONE);
  expect(await first.find(BLOB.digest, ONE)).toBeUndefined();
  expect(await first.find(BLOB.digest, TWO)).toBe(ONE);
  await first.save();
  await command(new BlobPlaces(HOST, at), places => places.add(BLOB, TWO));
  const later = new BlobPlaces(HOST, at);
  expect(await later.find(BLOB.digest, THREE)).toBe(TWO);
  expect(await later.find(BLOB.digest, TWO)).toBe(ONE);
  later.forget(BLOB.digest, ONE);
  expect(await later.find(BLOB.digest, TWO)).toBeUndefined();
  await later.save();
  expect(await new BlobPlaces(HOST, at).find(BLOB.digest, TWO)).toBeUndefined();
  expect(await new BlobPlaces('other.example' as RegistryHost, at).find(BLOB.digest, THREE)).toBeUndefined();
});

it('keeps what two commands learnt at once, nothing of small blobs, and writes only what is new', async () => {
  await using scope = new AsyncScope();
  const at = await directory(scope);
  const [first, second] = [new BlobPlaces(HOST, at), new BlobPlaces(HOST, at)];
  const [a, b] = [descriptorOf(BYTES.subarray(1)), descriptorOf(BYTES.subarray(2))];
  for (const [places, blob] of [
    [first, a],
    [second, b],
  ] as const)
    await places.find(blob.digest, ONE);
  await command(first, places => places.add(a, ONE));
  await command(second, places => places.add(b, ONE));
  const later = new BlobPlaces(HOST, at);
  expect([await later.find(a.digest, TWO), await later.find(b.digest, TWO)]).toEqual([ONE, ONE]);
  const [name] = await readdir(at);
  const file = path.join(at, name!);
  await utimes(file, 1, 1);
  const small = descriptorOf(Buffer.from('small'));
  await command(later, places => [a, small].forEach(blob => places.add(blob, ONE)));
  expect(await later.find(small.digest, TWO)).toBe(ONE);
  expect((await readFile(file, 'utf8')).includes(small.digest)).toBe(false);
  expect((await stat(file)).mtimeMs).toBe(1000);
});

it('is bounded in blobs, in places of a blob, and in registries', async () => {
  await using scope = new AsyncScope();
  const at = await directory(scope);
  await command(new BlobPlaces(HOST, at), places => {
    for (let index = 0; index < 5010; index++) places.add({ ...BLOB, digest: digestOf(`${index}`) }, ONE);
  });
  await command(new BlobPlaces(HOST, at), places => {
    for (let index = 0; index < 10; index++)
      places.add({ ...BLOB, digest: digestOf('5009') }, parseRepository(`r${index}`));
  });
  const [name] = await readdir(at);
  const { blobs } = JSON.parse(await readFile(path.join(at, name!), 'utf8')) as { blobs: [string, string[]][] };
  expect([blobs.length, blobs.at(-1)]).toEqual([5000, [digestOf('5009'), ['r9', 'r8', 'r7', 'r6']]]);
  for (let index = 0; index < 60; index++) {
    const file = path.join(at, `${digestOf(`${index}`).slice(7, 39)}.json`);
    await writeFile(file, '{}');
    await utimes(file, index, index);
  }
  await command(new BlobPlaces(HOST, at), places => places.add(BLOB, TWO));
  const left = await readdir(at);
  expect([left.length, left.includes(name!)]).toEqual([50, true]);
});

it.each<[string, string]>([
  ['no JSON', '{'],
  ['another thing', 'null'],
  ['of another registry', JSON.stringify({ host: 'x', blobs: [[BLOB.digest, ['team/one']]] })],
  ['no list', JSON.stringify({ host: HOST, blobs: {} })],
  ['rows of something else', JSON.stringify({ host: HOST, blobs: [null, 7, [], ['x', ['a']], [BLOB.digest, 'a']] })],
  ['names that are none', JSON.stringify({ host: HOST, blobs: [[BLOB.digest, ['../x', 7, 'a?from=b', 'A', '']]] })],
  ['too long', JSON.stringify({ host: HOST, blobs: [[BLOB.digest, ['team/one']]] }).padEnd(9_000_000)],
])('counts as empty and is replaced where it is damaged: %s', async (_, content) => {
  await using scope = new AsyncScope();
  const at = await directory(scope);
  await writeFile(path.join(at, `${digestOf(HOST).slice(7, 39)}.json`), content);
  const places = new BlobPlaces(HOST, at);
  expect(await places.find(BLOB.digest, TWO)).toBeUndefined();
  await command(places, () => places.add(BLOB, ONE));
  expect(await new BlobPlaces(HOST, at).find(BLOB.digest, TWO)).toBe(ONE);
});

it('does no harm where it cannot be kept', async () => {
  await using scope = new AsyncScope();
  const at = path.join(await directory(scope), 'file') as AbsPath;
  await writeFile(at, '');
  await command(new BlobPlaces(HOST, at), places => places.add(BLOB, ONE));
  await mkdir(path.join(path.dirname(at), `${digestOf(HOST).slice(7, 39)}.json`));
  expect(await new BlobPlaces(HOST, path.dirname(at) as AbsPath).find(BLOB.digest, TWO)).toBeUndefined();
});

/** A store of another repository of the rig's registry. */
function neighbour(scope: AsyncScope, rig: Rig, name: string, places: BlobPlaces): RegistryStore {
  const { host, repository } = parseRegistryReference(`docker://${rig.fake.host}/${name}`);
  const client = scope.use(new HttpClient({ delay: async () => {} }));
  return new RegistryStore({ client, host, repository, places, ...withLogin });
}

it('lets a repository take a blob from where it was sent to or read from', async () => {
  await using scope = new AsyncScope();
  await using rig = await start();
  const places = new BlobPlaces(rig.fake.host as RegistryHost);
  const open = (name: string) => neighbour(scope, rig, name, places);
  rig.fake.state.putBlob('base', BYTES);
  for await (const _ of open('base').readBlob(BLOB));
  await open('team/one').putBlob(BLOB, source());
  await open('team/two').putBlob(BLOB, source());
  expect(rig.fake.count(/^(PATCH|PUT)/)).toBe(0);
  expect(rig.fake.state.blob('team/two', BLOB.digest)).toBeDefined();
});

it.each<[string, RegExp | undefined, number]>([
  ['the blob is gone', undefined, 0],
  ['the token server refuses to let it be read', /GET \/token.*team%2Fone/, 403],
  ['the token server fails', /GET \/token.*team%2Fone/, 500],
  ['the registry refuses the mount', /POST .*mount=/, 404],
])('sends the blob where %s, and asks there no more', async (_, match, status) => {
  await using scope = new AsyncScope();
  await using rig = await start({ auth: { kind: 'bearer', ...LOGIN } });
  const places = new BlobPlaces(rig.fake.host as RegistryHost);
  places.add(BLOB, ONE);
  if (match) rig.fake.failNext({ match, with: { kind: 'status', status }, times: 10 });
  await neighbour(scope, rig, 'team/two', places).putBlob(BLOB, source());
  expect(rig.fake.state.blob('team/two', BLOB.digest)).toBeDefined();
  expect(await places.find(BLOB.digest, TWO)).toBeUndefined();
  expect(await places.find(BLOB.digest, ONE)).toBe(TWO);
});
