import { mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect, inject, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { packFile, writeImage, type HandmadeLayer } from '../rig/squashfs-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { commandAs, type Actor } from '../rig/users.ts';

const KNOWN = { 'dev.stk.layer.role': 'base' };

interface Listing {
  readonly mounts: readonly {
    readonly target: string;
    readonly status: string;
    readonly layers: number;
    readonly sharedLayers: number;
    readonly method: { readonly layers: string; readonly overlay: string };
  }[];
  readonly strays: readonly string[];
}

async function list(rig: StkRig): Promise<Listing> {
  return JSON.parse(await rig.ok(['mounts', '--json'])) as Listing;
}

/** The mounts of this rig alone: root's state is one for the whole machine. */
async function own(rig: StkRig): Promise<Listing['mounts']> {
  return (await list(rig)).mounts.filter(mount => mount.target.startsWith(rig.directory));
}

async function layersOf(...names: readonly string[]): Promise<HandmadeLayer[]> {
  const layers: HandmadeLayer[] = [];
  for (const name of names) layers.push({ bytes: await packFile(name, `${name}\n`), annotations: KNOWN });
  return layers;
}

/** Runs a shell script as whoever mounted: a FUSE mount of an ordinary user is nobody else's. */
async function script(actor: Actor, text: string): Promise<string> {
  const { file, args, identity } = await commandAs(actor, ['sh', '-ec', text], {});
  return (await execa(file, args, { ...identity, cwd: '/' })).stdout;
}

async function namesIn(rig: StkRig, actor: Actor, directory: string): Promise<string[]> {
  const stdout = await script(actor, `cd "${rig.path(directory)}"; ls -A`);
  return stdout.split('\n').filter(name => name !== '');
}

const WAYS: readonly (readonly [string, Actor, readonly string[], { layers: string; overlay: string }])[] = [
  ['root, kernel', 'root', ['--kernel'], { layers: 'kernel', overlay: 'kernel' }],
  ['root, FUSE', 'root', ['--fuse'], { layers: 'fuse', overlay: 'kernel' }],
  ['an ordinary user', 'user', [], { layers: 'fuse', overlay: 'fuse' }],
];

describe.each(WAYS)('mounts as %s', (_name, actor, flags, method) => {
  requires('root', 'user', 'fuse', 'kernel-squashfs', 'tool:fuse-overlayfs', 'tool:squashfuse_ll');

  it('a stack, its layers once, and takes them away with the last user', async () => {
    await using rig = await StkRig.open({ as: actor });
    const [base, top] = (await layersOf('base', 'top')) as [HandmadeLayer, HandmadeLayer];
    await writeImage(rig.path('oci'), 'one', [base]);
    await writeImage(rig.path('oci'), 'two', [base, top]);
    await rig.ok(['mount', 'one', 'a', ...flags]);
    await rig.ok(['mount', 'two', 'b', ...flags]);
    expect(await namesIn(rig, actor, 'a')).toEqual(['base']);
    expect(await namesIn(rig, actor, 'b')).toEqual(['base', 'top']);
    expect(await own(rig)).toMatchObject([
      { status: 'mounted', layers: 1, sharedLayers: 1, method },
      { status: 'mounted', layers: 2, sharedLayers: 1, method },
    ]);
    expect(await rig.ok(['umount', 'a'])).toContain('1 layers are used by other mounts');
    expect(await namesIn(rig, actor, 'b')).toEqual(['base', 'top']);
    await rig.ok(['umount', 'b']);
    expect(await own(rig)).toEqual([]);
    expect(await readdir(rig.directory)).not.toContain('a');
  });

  it('the same image at the same place once only', async () => {
    await using rig = await StkRig.open({ as: actor });
    await writeImage(rig.path('oci'), 'app', await layersOf('file'));
    await writeImage(rig.path('oci'), 'other', await layersOf('other'));
    await rig.ok(['mount', 'app', 'm', ...flags]);
    expect(await rig.ok(['mount', 'app', 'm', ...flags])).toContain('already');
    expect((await rig.stk(['mount', 'other', 'm', ...flags])).exitCode).toBe(12);
    expect((await rig.stk(['mount', 'app', 'm', '--rw', ...flags])).exitCode).toBe(12);
    const mountinfo = await readFile('/proc/self/mountinfo', 'utf8');
    expect(mountinfo.split('\n').filter(line => line.includes(` ${rig.path('m')} `))).toHaveLength(1);
    await rig.ok(['umount', 'm']);
    expect((await rig.stk(['umount', 'm'])).exitCode).toBe(8);
  });

  it('writable: for the time being, and for good', async () => {
    await using rig = await StkRig.open({ as: actor });
    await writeImage(rig.path('oci'), 'app', await layersOf('etc/file', 'etc/gone'));
    const write = (target: string) =>
      script(actor, `cd ${rig.path(target)}; echo more >> etc/file; rm etc/gone; echo new > new`);
    await rig.ok(['mount', 'app', 'm', '--rw', ...flags]);
    await write('m');
    expect(await namesIn(rig, actor, 'm')).toEqual(['etc', 'new']);
    await rig.ok(['umount', 'm']);
    expect(await readdir(rig.path('.stk/mounts'))).toEqual([]);
    await rig.ok(['mount', 'app', 'm', '--upper', 'up', ...flags]);
    expect(await namesIn(rig, actor, 'm/etc')).toEqual(['file', 'gone']);
    await write('m');
    await rig.ok(['umount', 'm']);
    expect(await readFile(rig.path('up/etc/file'), 'utf8')).toBe('etc/file\nmore\n');
    expect((await readdir(rig.directory)).filter(name => name.startsWith('.stk-work'))).toEqual([]);
    await rig.ok(['mount', 'app', 'm', '--upper', 'up', ...flags]);
    expect(await namesIn(rig, actor, 'm/etc')).toEqual(['file']);
    expect((await rig.stk(['mount', 'app', 'm2', '--upper', 'up', ...flags])).exitCode).toBe(12);
    await rig.ok(['umount', 'm']);
  });

  it('not away what is in use', async () => {
    await using rig = await StkRig.open({ as: actor });
    await writeImage(rig.path('oci'), 'app', await layersOf('file'));
    await rig.ok(['mount', 'app', 'm', ...flags]);
    const command = await commandAs(actor, ['sh', '-c', `cd ${rig.path('m')} && echo ready && read line`], {});
    const holder = execa(command.file, command.args, { ...command.identity, cwd: '/', stdin: 'pipe' });
    await new Promise(resolve => holder.stdout.once('data', resolve));
    const refused = await rig.stk(['umount', 'm']);
    expect(refused.stderr).toMatch(/in use/);
    expect(refused.exitCode).toBe(12);
    expect(await own(rig)).toMatchObject([{ status: 'mounted' }]);
    holder.stdin.end('\n');
    await holder;
    await rig.ok(['umount', 'm']);
  });

  it('many at once', async () => {
    await using rig = await StkRig.open({ as: actor });
    await writeImage(rig.path('oci'), 'app', await layersOf('a', 'b', 'c'));
    const targets = Array.from({ length: 6 }, (_, n) => `m${n}`);
    await Promise.all([...targets, ...targets].map(target => rig.ok(['mount', 'app', target, ...flags])));
    expect((await own(rig)).map(mount => mount.sharedLayers)).toEqual(targets.map(() => 3));
    await Promise.all(targets.map(target => rig.ok(['umount', target])));
    expect(await own(rig)).toEqual([]);
  });

  it.each([1, 2, 60, 200, 499])(
    '%d layers',
    async count => {
      await using rig = await StkRig.open({ as: actor });
      await writeImage(rig.path('oci'), 'app', await tower(count));
      await rig.ok(['mount', 'app', 'm', ...flags]);
      expect(await namesIn(rig, actor, 'm')).toHaveLength(count);
      await rig.ok(['umount', 'm']);
      expect(await own(rig)).toEqual([]);
    },
    300_000,
  );

  it('no more layers than the kernel stacks', async () => {
    await using rig = await StkRig.open({ as: actor });
    await writeImage(rig.path('oci'), 'app', await tower(501));
    const refused = await rig.stk(['mount', 'app', 'm', ...flags]);
    expect(refused.stderr).toMatch(/501 layers.* at most 500/);
    expect(refused.exitCode).toBe(9);
    expect(await readdir(rig.directory)).not.toContain('m');
  });

  it('on names that need escapes', async () => {
    await using rig = await StkRig.open({ as: actor });
    await writeImage(rig.path('oci'), 'app', await layersOf('file'));
    const target = 'a b,c:d\\e\tä';
    await rig.ok(['mount', 'app', target, ...flags]);
    expect(await namesIn(rig, actor, target)).toEqual(['file']);
    expect(await own(rig)).toMatchObject([{ status: 'mounted', target: rig.path(target) }]);
    await rig.ok(['umount', target]);
  });
});

const towers: HandmadeLayer[] = [];

/** Layers of one file each, packed once for all tests. */
async function tower(count: number): Promise<readonly HandmadeLayer[]> {
  while (towers.length < count) {
    const batch = Array.from({ length: 4 }, (_, n) => `file-${towers.length + n}`);
    const packed = await Promise.all(batch.map(name => packFile(name, name)));
    towers.push(...packed.map(bytes => ({ bytes, annotations: KNOWN })));
  }
  return towers.slice(0, count);
}

describe('inside a user namespace', () => {
  requires('userns', 'overlay', 'fuse', 'tool:squashfuse_ll');

  it('mounts with squashfuse and the kernel overlay, in that namespace alone', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    await writeImage(rig.path('oci'), 'app', await layersOf('base', 'top'));
    const { node, cli } = inject('stk');
    const stk = `${node} ${cli} --oci-dir ${rig.path('oci')}`;
    const inside = `${stk} mount app ${rig.path('m')} && ls ${rig.path('m')} && ${stk} mounts --json && ${stk} umount ${rig.path('m')}`;
    const namespaces = 'unshare --user --map-auto --map-root-user --mount';
    const stdout = await script('user', `cd ${rig.directory}; ${namespaces} sh -ec '${inside}'`);
    expect(stdout).toContain('squashfuse_ll and kernel overlay');
    expect(stdout).toMatch(/^base$/m);
    expect(stdout).toContain('"status":"mounted"');
    expect(await own(rig)).toEqual([]);
    await rig.ok(['mounts', '--repair']);
  });

  it('where processes of other namespaces cannot be seen, a repair forgets none of their mounts', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    await writeImage(rig.path('oci'), 'app', await layersOf('base'));
    await rig.ok(['mount', 'app', 'm']);
    const { node, cli } = inject('stk');
    for (const namespaces of ['', '--pid --fork --mount-proc']) {
      await script('user', `unshare --user --map-root-user --mount ${namespaces} ${node} ${cli} mounts --repair`);
    }
    expect(await own(rig)).toMatchObject([{ status: 'mounted', target: rig.path('m') }]);
    await rig.ok(['umount', 'm']);
    await rig.ok(['mounts', '--repair']);
  });
});

describe('targets', () => {
  requires('user', 'fuse', 'tool:fuse-overlayfs', 'tool:squashfuse_ll');

  it.each<[string, (rig: StkRig) => Promise<unknown>, readonly string[], number, RegExp]>([
    ['a symlink', rig => symlink('/etc', rig.path('m')), ['m'], 9, /it is a symlink/],
    ['a file', rig => writeFile(rig.path('m'), ''), ['m'], 9, /not a directory/],
    ['something in it', rig => mkdir(rig.path('m/x'), { recursive: true }), ['m'], 12, /not empty/],
    ['no parent', async () => {}, ['no/m'], 8, /no directory/],
    ['the layout', async () => {}, ['oci/blobs/m'], 12, /overlaps the layout/],
    ['its own upper', async () => {}, ['m', '--upper', 'm/up'], 12, /overlaps the upper/],
    [
      'an upper around it',
      rig => mkdir(rig.path('up'), { mode: 0o777 }),
      ['up/m', '--upper', 'up'],
      12,
      /overlaps the upper/,
    ],
    ['the root', async () => {}, ['/'], 12, /in use|overlaps/],
  ])('cannot be: %s', async (_name, prepare, args, exitCode, text) => {
    await using rig = await StkRig.open({ as: 'user' });
    await writeImage(rig.path('oci'), 'app', await layersOf('file'));
    await prepare(rig);
    const before = await readdir(rig.directory);
    const refused = await rig.stk(['mount', 'app', ...args]);
    expect(refused.stderr).toMatch(text);
    expect(refused.exitCode).toBe(exitCode);
    expect(
      (await readdir(rig.directory)).filter(name => !before.includes(name) && name !== 'm' && name !== 'up'),
    ).toEqual([]);
    expect(await own(rig)).toEqual([]);
  });

  it('cannot lie in a mount of the same image, nor on somebody else’s mount', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    await writeImage(rig.path('oci'), 'app', await layersOf('dir/file'));
    await rig.ok(['mount', 'app', 'm', '--rw']);
    const inside = await rig.stk(['mount', 'app', path.join('m', 'inner')]);
    expect(inside.stderr).toMatch(/inside itself/);
    expect(inside.exitCode).toBe(12);
    await rig.ok(['umount', 'm']);
    expect((await rig.stk(['mount', 'app', '/proc/sys'])).exitCode).toBe(12);
  });
});
