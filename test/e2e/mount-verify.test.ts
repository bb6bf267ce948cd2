import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdtemp, open, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { packDirectory, packFile, withVerity, writeImage, type HandmadeLayer } from '../rig/squashfs-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { blobPath, readManifest } from '../rig/tree-listing.ts';
import { commandAs, type Actor } from '../rig/users.ts';

const ROOT = 'io.stackeroci.stacker.atomfs_verity_root_hash';
const EXIT = { integrity: 7, conflict: 12 } as const;
const BIG_BYTES = 1_000_000;

interface Listing {
  readonly mounts: readonly {
    readonly target: string;
    readonly status: string;
    readonly method: { readonly layers: string; readonly verity: string };
    readonly logs: readonly string[];
  }[];
}

interface Layers {
  readonly big: Buffer;
  /** One with files `big` and `small`, one with `top`. */
  readonly verified: readonly HandmadeLayer[];
  readonly withoutRoot: HandmadeLayer;
}

let layers: Layers;

async function makeLayers(): Promise<Layers> {
  const scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-verified-'));
  try {
    await chmod(scratch, 0o755);
    // Random bytes are stored as they are, so that they can be found in the image.
    const big = randomBytes(BIG_BYTES);
    await writeFile(path.join(scratch, 'big'), big);
    await writeFile(path.join(scratch, 'small'), 'small\n');
    const packed = [await packDirectory(scratch), await packFile('top', 'top\n')];
    const verified: HandmadeLayer[] = [];
    for (const image of packed) {
      const { bytes, root } = await withVerity(image);
      verified.push({ bytes, annotations: { [ROOT]: root } });
    }
    return { big, verified, withoutRoot: { bytes: await packFile('plain', 'plain\n') } };
  } finally {
    await rm(scratch, { recursive: true });
  }
}

/** Runs a shell script as whoever mounted: a FUSE mount of an ordinary user is nobody else's. */
async function script(actor: Actor, text: string) {
  const { file, args, identity } = await commandAs(actor, ['sh', '-ec', text], {});
  return execa(file, args, { ...identity, cwd: '/', reject: false, env: { LC_ALL: 'C' } });
}

async function own(rig: StkRig): Promise<Listing['mounts']> {
  const { mounts } = JSON.parse(await rig.ok(['mounts', '--json'])) as Listing;
  return mounts.filter(mount => mount.target.startsWith(rig.directory));
}

interface Server {
  readonly log: string;
  readonly pid: number;
  /** Starts it again. */
  readonly keeper: number;
  /** Whether the kernel lets another server take over. */
  readonly canResend: boolean;
}

/** The one server of a mount: where it logs, and its processes. */
async function serverOf(rig: StkRig): Promise<Server> {
  const [mount] = await own(rig);
  expect(mount).toMatchObject({ status: 'mounted', method: { verity: 'user' } });
  expect(mount!.logs).toHaveLength(1);
  const log = mount!.logs[0]!;
  const state = JSON.parse(await readFile(log.replace(/log$/, 'json'), 'utf8')) as Omit<Server, 'canResend'> & {
    readonly session: Pick<Server, 'canResend'>;
  };
  return { log, pid: state.pid, keeper: state.keeper, canResend: state.session.canResend };
}

/** That all is gone that a server had for a mount: mount, loop devices, files. It goes itself after a while. */
async function expectGone(server: Server): Promise<void> {
  const name = path.basename(server.log, '.log');
  const traces = async () => {
    const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter(line => line.includes(name));
    const loops = (await execa('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'])).stdout.split('\n');
    const files = (await readdir(path.dirname(server.log))).filter(file => file.startsWith(name));
    return [...mounts, ...loops.filter(file => file.includes(name)), ...files];
  };
  await expect.poll(traces, { timeout: 10_000 }).toEqual([]);
}

/** Flips one bit of a layer where the given bytes lie; returns the layer's digest and the offset of the 4 KiB block. */
async function flipBit(rig: StkRig, bytes: Buffer): Promise<{ readonly digest: string; readonly offset: number }> {
  const { digest } = (await readManifest(rig.path('oci'), 'app')).layers[0]!;
  const file = blobPath(rig.path('oci'), digest);
  const place = (await readFile(file)).indexOf(bytes);
  expect(place).toBeGreaterThan(0);
  const handle = await open(file, 'r+');
  await handle.write(Buffer.from([bytes[0]! ^ 0x10]), 0, 1, place);
  await handle.close();
  return { digest, offset: place - (place % 4096) };
}

const WAYS: readonly (readonly [string, Actor, readonly string[], string])[] = [
  ['root, kernel', 'root', ['--kernel'], 'kernel'],
  ['root, FUSE', 'root', ['--fuse'], 'fuse'],
  ['an ordinary user', 'user', [], 'fuse'],
];

beforeAll(async () => {
  layers = await makeLayers();
});

describe.each(WAYS)('verified mounts as %s', (_name, actor, flags, method) => {
  requires('root', 'user', 'fuse', 'kernel-squashfs', 'tool:fuse-overlayfs', 'tool:squashfuse_ll', 'tool:veritysetup');

  /** With device-mapper, root's kernel mounts need no server; the tests of servers are about hosts without. */
  const usesServer = async () =>
    method === 'fuse' ||
    !(await open('/dev/mapper/control', 'r+').then(
      async control => (await control.close(), true),
      () => false,
    ));

  it('show what the layers hold, and end with their server', async () => {
    await using rig = await StkRig.open({ as: actor, ownServer: true });
    await writeImage(rig.path('oci'), 'app', layers.verified);
    const said = await rig.ok(['mount', 'app', 'm', '--verify', 'require', ...flags]);
    expect(said).toContain('blocks checked by');
    expect((await own(rig))[0]?.method.layers).toBe(method);
    const { stdout } = await script(actor, `cd ${rig.path('m')}; ls; sha256sum < big; cat small top`);
    const sum = createHash('sha256').update(layers.big).digest('hex');
    expect(stdout).toBe(`big\nsmall\ntop\n${sum}  -\nsmall\ntop`);
    const server = (await usesServer()) ? await serverOf(rig) : undefined;
    if (server) expect(said).toContain(server.log);
    await rig.ok(['umount', 'm']);
    if (server) await expectGone(server);
    expect(await own(rig)).toEqual([]);
  });

  it('are the default where layers have a root hash, and are left out on demand', async () => {
    await using rig = await StkRig.open({ as: actor, ownServer: true });
    await writeImage(rig.path('oci'), 'app', layers.verified);
    await rig.ok(['mount', 'app', 'm', ...flags]);
    expect((await own(rig))[0]?.method.verity).not.toBe('none');
    await rig.ok(['umount', 'm']);
    expect(await rig.ok(['mount', 'app', 'm', '--verify', 'off', ...flags])).toContain('blocks not checked');
    expect(await own(rig)).toMatchObject([{ method: { verity: 'none' }, logs: [] }]);
    expect((await rig.stk(['mount', 'app', 'm', '--verify', 'require', ...flags])).exitCode).toBe(EXIT.conflict);
    await rig.ok(['umount', 'm']);
  });

  it('show nothing of a block with one wrong bit, and everything of others', async () => {
    await using rig = await StkRig.open({ as: actor, ownServer: true });
    await writeImage(rig.path('oci'), 'app', layers.verified);
    const wrong = await flipBit(rig, layers.big.subarray(500_000, 500_100));
    await rig.ok(['mount', 'app', 'm', '--verify', 'require', ...flags]);
    const read = await script(actor, `cd ${rig.directory}; cat m/big > out`);
    const shown = await readFile(rig.path('out'));
    expect(shown.length).toBeLessThanOrEqual(500_000);
    expect(shown.equals(layers.big.subarray(0, shown.length))).toBe(true);
    // fuse-overlayfs hands on what it got before the error, which the kernel takes for the end of the file.
    if (actor === 'root') expect(read.stderr).toContain('Input/output error');
    expect((await script(actor, `cd ${rig.path('m')}; cat small top`)).stdout).toBe('small\ntop');
    if (await usesServer()) {
      const { log } = await serverOf(rig);
      const entries = (await readFile(log, 'utf8')).split('\n').filter(line => line.includes('"integrity"'));
      expect(entries.map(line => JSON.parse(line) as object)).toMatchObject([wrong]);
    }
    await rig.ok(['umount', 'm']);
  });

  it('share a server with other images that hold the same layers', async () => {
    await using rig = await StkRig.open({ as: actor, ownServer: true });
    await writeImage(rig.path('oci'), 'both', layers.verified);
    await writeImage(rig.path('oci'), 'top', layers.verified.slice(1));
    await rig.ok(['mount', 'both', 'a', ...flags]);
    await rig.ok(['mount', 'top', 'b', ...flags]);
    const server = (await usesServer()) ? await serverOf(rig) : undefined;
    await rig.ok(['umount', 'a']);
    expect((await script(actor, `cat ${rig.path('b/top')}`)).stdout).toBe('top');
    if (server) expect(await serverOf(rig)).toEqual(server);
    await rig.ok(['umount', 'b']);
    if (server) await expectGone(server);
  });

  it('go on when their server is killed while somebody reads', async context => {
    context.skip(!(await usesServer()), 'device-mapper verifies: there is no server to kill');
    await using rig = await StkRig.open({ as: actor, ownServer: true });
    await writeImage(rig.path('oci'), 'app', layers.verified);
    await rig.ok(['mount', 'app', 'm', ...flags]);
    const server = await serverOf(rig);
    if (server.canResend) {
      const { file, args, identity } = await commandAs(actor, ['sh', '-c', `sha256sum < ${rig.path('m/big')}`], {});
      const reading = execa(file, args, { ...identity, cwd: '/' });
      await execa('kill', ['-KILL', String(server.pid)]);
      const sum = createHash('sha256').update(layers.big).digest('hex');
      expect((await reading).stdout).toBe(`${sum}  -`);
      await expect.poll(async () => (await serverOf(rig)).pid, { timeout: 20_000 }).not.toBe(server.pid);
      expect((await script(actor, `cat ${rig.path('m')}/top`)).stdout).toBe('top');
    }
    await rig.ok(['umount', 'm']);
    await expectGone(server);
    context.skip(!server.canResend, 'the kernel cannot ask again what a dead server left unanswered (before 6.9)');
  });

  it('tell a server that was killed with its keeper, and are mounted anew or taken away', async context => {
    context.skip(!(await usesServer()), 'device-mapper verifies: there is no server to kill');
    await using rig = await StkRig.open({ as: actor, ownServer: true });
    await writeImage(rig.path('oci'), 'app', layers.verified);
    await rig.ok(['mount', 'app', 'm', ...flags]);
    await rig.ok(['mount', 'app', 'n', ...flags]);
    const first = await serverOf(rig);
    await execa('kill', ['-KILL', String(first.keeper), String(first.pid)]);
    await expect
      .poll(async () => (await own(rig)).map(mount => mount.status), { timeout: 20_000 })
      .toEqual(['broken', 'broken']);
    await rig.ok(['mount', 'app', 'm', ...flags]);
    expect((await own(rig)).map(mount => mount.status).toSorted()).toEqual(['broken', 'mounted']);
    expect((await script(actor, `sha256sum < ${rig.path('m/big')}`)).exitCode).toBe(0);
    await rig.ok(['umount', 'n']);
    await expectGone(first);
    const second = await serverOf(rig);
    await execa('kill', ['-KILL', String(second.keeper), String(second.pid)]);
    await rig.ok(['umount', 'm']);
    await expectGone(second);
    expect(await own(rig)).toEqual([]);
  });

  it('refuse a layer without a root hash where they are required, and warn elsewhere', async () => {
    await using rig = await StkRig.open({ as: actor, ownServer: true });
    await writeImage(rig.path('oci'), 'app', [layers.verified[1]!, layers.withoutRoot]);
    const refused = await rig.stk(['mount', 'app', 'm', '--verify', 'require', ...flags]);
    expect(refused.exitCode).toBe(EXIT.integrity);
    expect(refused.stderr).toMatch(/1 of 2 layers have no verity root hash[^]*--verify auto/);
    expect(await readdir(rig.directory)).not.toContain('m');
    const mounted = await rig.stk(['mount', 'app', 'm', ...flags]);
    expect(mounted.stderr).toContain('1 of 2 layers have no verity root: they are compared with their digests once');
    expect((await script(actor, `cd ${rig.path('m')}; cat plain top`)).stdout).toBe('plain\ntop');
    await rig.ok(['umount', 'm']);
  });
});

describe('verified mounts inside a user namespace', () => {
  requires('userns', 'overlay', 'fuse', 'tool:squashfuse_ll', 'tool:veritysetup');

  it('are served in that namespace alone', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    await writeImage(rig.path('oci'), 'app', layers.verified);
    const { node, cli } = inject('stk');
    const stk = `${node} ${cli} --oci-dir ${rig.path('oci')}`;
    const target = rig.path('m');
    const inside = `${stk} mount app ${target} --verify require; sha256sum < ${target}/big; ${stk} umount ${target}`;
    const namespaces = 'unshare --user --map-auto --map-root-user --mount';
    const { stdout } = await script('user', `cd ${rig.directory}; ${namespaces} sh -ec '${inside}'`);
    expect(stdout).toContain('blocks checked by stk');
    expect(stdout).toContain(createHash('sha256').update(layers.big).digest('hex'));
    await rig.ok(['mounts', '--repair']);
  });

  it('fail reads of a block with one wrong bit, and log its digest and offset', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    await writeImage(rig.path('oci'), 'app', layers.verified);
    const wrong = await flipBit(rig, layers.big.subarray(500_000, 500_100));
    const { node, cli } = inject('stk');
    const stk = `${node} ${cli} --oci-dir ${rig.path('oci')}`;
    const target = rig.path('m');
    // What mount says ends with the log's name.
    const inside = `said=$(${stk} mount app ${target} --verify require)
      cat ${target}/big > shown || echo failed
      cat ${target}/small ${target}/top
      grep integrity "\${said##* }"
      ${stk} umount ${target}`;
    const namespaces = 'unshare --user --map-auto --map-root-user --mount';
    const { stdout, stderr } = await script('user', `cd ${rig.directory}; ${namespaces} sh -ec '${inside}'`);
    expect(stderr).toContain('Input/output error');
    const said = stdout.split('\n');
    expect(said.slice(said.indexOf('failed'), -2)).toEqual(['failed', 'small', 'top']);
    expect(JSON.parse(said.at(-2)!)).toMatchObject(wrong);
    const shown = await readFile(rig.path('shown'));
    expect(shown.equals(layers.big.subarray(0, shown.length))).toBe(true);
    expect(shown.length).toBeLessThanOrEqual(500_000);
    await rig.ok(['mounts', '--repair']);
  });
});
