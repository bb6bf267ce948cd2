import { readFile, readdir } from 'node:fs/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { publishFar, randomFiles, verityLayer, type FarFiles } from '../rig/far-image.ts';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { listDirectory, listImage } from '../rig/tree-listing.ts';
import { commandAs, type Actor } from '../rig/users.ts';

requires('root', 'user', 'fuse', 'kernel-squashfs', 'tool:fuse-overlayfs', 'tool:squashfuse_ll', 'tool:veritysetup');

const GET_BLOB = /^GET .*\/blobs\/sha256:/;
const MIB = 1 << 20;

interface Listing {
  readonly mounts: readonly {
    readonly target: string;
    readonly farLayers: number;
    readonly status: string;
    readonly logs: readonly string[];
  }[];
}

async function own(rig: StkRig): Promise<Listing['mounts']> {
  const { mounts } = JSON.parse(await rig.ok(['mounts', '--json'])) as Listing;
  return mounts.filter(mount => mount.target.startsWith(rig.directory));
}

/** Bytes that a registry was asked for. */
function askedBytes(registry: FakeRegistry): number {
  let sum = 0;
  for (const { method, url, headers } of registry.requests) {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    if (GET_BLOB.test(`${method} ${url}`) && from !== undefined) sum += Number(to) - Number(from) + 1;
  }
  return sum;
}

async function cat(actor: Actor, file: string): Promise<Buffer> {
  const { file: program, args, identity } = await commandAs(actor, ['cat', file], {});
  const options = { ...identity, cwd: '/', encoding: 'buffer', stripFinalNewline: false } as const;
  return Buffer.from((await execa(program, args, options)).stdout);
}

interface Far extends AsyncDisposable {
  readonly rig: StkRig;
  readonly registry: FakeRegistry;
  readonly name: string;
  readonly base: FarFiles;
}

/** An image of two layers in a registry that is only asked for it from now on. */
async function openFar(actor: Actor = 'root'): Promise<Far> {
  const rig = await StkRig.open({ as: actor });
  const registry = await FakeRegistry.start();
  const base = randomFiles({
    'usr/one': 3 * MIB,
    'usr/two': 3 * MIB,
    'usr/three': 3 * MIB,
    'usr/four': MIB,
    small: 100,
  });
  const layers = [
    await verityLayer(rig, 'base', base),
    await verityLayer(rig, 'top', randomFiles({ 'usr/top': 5000 })),
  ];
  const name = await publishFar(rig, registry.host, layers);
  registry.requests.length = 0;
  return {
    rig,
    registry,
    name,
    base,
    async [Symbol.asyncDispose]() {
      await rig.stk(['umount', 'far']);
      await registry[Symbol.asyncDispose]();
      await rig[Symbol.asyncDispose]();
    },
  };
}

const WAYS: readonly (readonly [string, Actor, readonly string[]])[] = [
  ['root, kernel', 'root', ['--kernel']],
  ['root, FUSE', 'root', []],
  ['an ordinary user', 'user', []],
];

describe.each(WAYS)('mounts an image of a registry as %s', (_name, actor, flags) => {
  it('and fetches what is read', async () => {
    await using far = await openFar(actor);
    const { rig, registry, name, base } = far;
    const said = await rig.ok(['mount', name, 'far', ...flags]);
    expect(said).toContain('2 fetched from the registry as they are read');
    expect(await own(rig)).toMatchObject([{ image: name, status: 'mounted', farLayers: 2 }]);
    expect(askedBytes(registry)).toBeLessThan(MIB);
    expect((await cat(actor, rig.path('far/usr/two'))).equals(base['usr/two']!)).toBe(true);
    expect(askedBytes(registry)).toBeLessThan(5.5 * MIB);
    await rig.ok(['umount', 'far']);
    expect(await own(rig)).toEqual([]);
  });
});

describe('a mounted image of a registry', () => {
  let far: Far;
  beforeAll(async () => {
    far = await openFar();
    await far.rig.ok(['mount', far.name, 'far']);
    far.registry.requests.length = 0;
  });
  afterAll(() => far[Symbol.asyncDispose]());

  async function isRight(file: string): Promise<boolean> {
    return (await cat('root', far.rig.path('far', file))).equals(far.base[file]!);
  }

  it('fetches what eight readers want once', async () => {
    const reads = Array.from({ length: 8 }, () => isRight('usr/one'));
    expect(await Promise.all(reads)).toEqual(reads.map(() => true));
    const blobs = far.registry.requests.filter(({ method, url }) => GET_BLOB.test(`${method} ${url}`));
    const ranges = blobs.map(({ url, headers }) => `${url} ${headers.range}`);
    expect(new Set(ranges).size).toBe(ranges.length);
    // With what the kernel reads ahead.
    expect(askedBytes(far.registry)).toBeLessThan(6 * MIB);
  });

  it('answers wrong bytes with an I/O error, keeps none of them, and has the right ones the next time', async () => {
    far.registry.failNext({ match: GET_BLOB, with: { kind: 'wrong-bytes' }, times: 1_000_000 });
    await expect(isRight('usr/two')).rejects.toThrow('Input/output error');
    const [mount] = await own(far.rig);
    const log = await readFile(mount!.logs[0]!, 'utf8');
    expect(log).toMatch(/"event":"integrity","digest":"sha256:[0-9a-f]{64}","offset":\d+/);
    far.registry.forgetFailures();
    expect(await isRight('usr/two')).toBe(true);
  });

  it('waits for a registry that is away', async () => {
    far.registry.failNext({ match: GET_BLOB, with: { kind: 'drop', afterBytes: 0 }, times: 8 });
    expect(await isRight('usr/three')).toBe(true);
    expect(far.registry.pendingFailures).toBe(0);
  });

  it('counts as mounted while it waits, and is not cleared away', async () => {
    far.registry.failNext({ match: GET_BLOB, with: { kind: 'drop', afterBytes: 0 }, times: 1_000_000 });
    far.registry.requests.length = 0;
    const read = isRight('usr/four');
    await expect.poll(() => far.registry.requests.length).toBeGreaterThan(0);
    expect(await own(far.rig)).toMatchObject([{ status: 'mounted' }]);
    await far.rig.ok(['mounts', '--repair']);
    far.registry.forgetFailures();
    expect(await read).toBe(true);
  });

  it('is the very tree that the unpacked image has', async () => {
    const { rig } = far;
    expect(await listDirectory(rig.path('far'))).toEqual(await listImage(rig.path('oci'), 'app'));
  });

  it('is mounted again and read without the registry', async () => {
    await far.rig.ok(['umount', 'far']);
    await far.registry[Symbol.asyncDispose]();
    const { stderr, exitCode } = await far.rig.stk(['mount', far.name, 'far']);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('what was kept of it') });
    expect(await isRight('usr/one')).toBe(true);
  });
});

it('downloads a layer that cannot be checked in parts, unless all is to be lazy', async () => {
  await using far = await openFar();
  const { rig, registry } = far;
  const plain = await verityLayer(rig, 'plain', randomFiles({ file: 5000 }));
  const name = await publishFar(rig, registry.host, [{ bytes: plain.bytes }], 'plain');
  const refused = await rig.stk(['mount', name, 'far', '--require-lazy']);
  expect(refused).toMatchObject({ exitCode: 9, stderr: expect.stringContaining('no verity root') });
  const { stderr } = await rig.stk(['mount', name, 'far', '--kernel']);
  expect(stderr).toContain('was downloaded as a whole');
  expect(await readdir(rig.path('far'))).toEqual(['file']);
});

it('converts an image with tar layers once', async () => {
  await using far = await openFar();
  const { rig, registry, base } = far;
  await rig.ok(['convert', '--layer-type', 'tar', 'app', `docker://${registry.host}/team/tar:1`]);
  const name = `docker://${registry.host}/team/tar:1`;
  const refused = await rig.stk(['mount', name, 'far', '--require-lazy']);
  expect(refused).toMatchObject({ exitCode: 9, stderr: expect.stringContaining('layers are tar') });
  expect((await rig.stk(['mount', name, 'far'])).stderr).toContain('has tar layers');
  expect((await cat('root', rig.path('far/usr/two'))).equals(base['usr/two']!)).toBe(true);
  await rig.ok(['umount', 'far']);
  registry.requests.length = 0;
  expect((await rig.stk(['mount', name, 'far'])).stderr).not.toContain('has tar layers');
  expect(askedBytes(registry)).toBe(0);
});
