import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, inject, it } from 'vitest';
import { missing, requires } from '../rig/gates.ts';
import { PODMAN_LIMITS, withPodman } from '../rig/podman.ts';
import { onShell } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { commandAs, type Actor } from '../rig/users.ts';

const APP = {
  run: [
    'mkdir -p /srv/data; ln -s srv /alias',
    'echo "root:x:0:0::/:/bin/sh" > /etc/passwd; echo "web:x:33:33::/srv:/bin/sh" >> /etc/passwd',
    'echo "web:x:33:" > /etc/group; echo "extra:x:50:web" >> /etc/group',
    'echo seed > /srv/data/seed; chown -R 33:33 /srv; chmod 1775 /srv/data',
  ].join('\n'),
  environment: { GREETING: 'hello' },
  working_dir: '/srv',
  volumes: ['/srv/data'],
  labels: { kind: 'sample' },
  cmd: ['/bin/sh', '-c', 'id -u; pwd; echo $GREETING; hostname'],
};

interface Config {
  readonly process: { readonly args: readonly string[]; readonly user: object; readonly cwd: string };
  readonly root: object;
  readonly mounts: readonly { readonly destination: string; readonly options: readonly string[] }[];
  readonly annotations: Readonly<Record<string, string>>;
}

async function openRig(actor: Actor, settings: object = {}): Promise<StkRig> {
  const rig = await StkRig.open({ as: actor });
  await rig.write('stacker.yaml', onShell({ ...APP, ...settings }));
  await rig.ok(['build']);
  return rig;
}

async function config(rig: StkRig, bundle: string): Promise<Config> {
  return JSON.parse(await readFile(rig.path(bundle, 'config.json'), 'utf8')) as Config;
}

/** Starts a bundle with runc itself and returns what the container says. */
async function runc(rig: StkRig, actor: Actor, bundle: string): Promise<string> {
  const runtime = `runc --root ${rig.path('runc')} run -b ${rig.path(bundle)} stk-test-${process.pid}`;
  return script(rig, actor, runtime);
}

async function script(rig: StkRig, actor: Actor, text: string): Promise<string> {
  const env = { PATH: process.env['PATH'] ?? '', HOME: rig.path('home') };
  const { file, args, identity } = await commandAs(actor, ['sh', '-ec', text], env);
  const { stdout } = await execa(file, args, { ...identity, cwd: rig.directory, env, extendEnv: false });
  return stdout;
}

describe.each(['root', 'user'] as const)('a bundle of %s', actor => {
  requires('root', 'userns', 'overlay', 'fuse', 'kernel-squashfs', 'tool:runc', 'tool:fuse-overlayfs', 'tool:busybox');

  it('runs as it is, by what the image says', async () => {
    await using rig = await openRig(actor);
    expect(await rig.ok(['bundle', 'app', 'b'])).toMatch(/^bundle of app in .*\/b: \d layers, read-only, /);
    expect(await runc(rig, actor, 'b')).toBe('0\n/srv\nhello\napp');
    const { process: started, root, annotations } = await config(rig, 'b');
    expect(started).toMatchObject({ args: APP.cmd, cwd: '/srv', user: { uid: 0, gid: 0 } });
    expect(root).toEqual({ path: 'rootfs', readonly: true });
    expect(annotations).toMatchObject({ kind: 'sample', 'org.opencontainers.image.os': 'linux' });
    await rig.ok(['umount', 'b']);
    expect(await readdir(rig.path('b'))).toEqual(['config.json']);
  });

  it('has a read-only root, volumes of its own filled from the image, and the command that is given', async () => {
    await using rig = await openRig(actor);
    const command = 'touch /x 2>/dev/null || echo refused; cat data/seed; echo new > data/new; ls -d data/*';
    await rig.ok(['bundle', 'app', 'b', '--hostname', 'box', '--', 'sh', '-c', command]);
    expect(await runc(rig, actor, 'b')).toBe('refused\nseed\ndata/new\ndata/seed');
    // Each container has a volume of its own.
    expect(await runc(rig, actor, 'b')).toBe('refused\nseed\ndata/new\ndata/seed');
    const volume = (await config(rig, 'b')).mounts.find(mount => mount.destination === '/srv/data');
    expect(volume?.options).toEqual(expect.arrayContaining(['tmpcopyup', 'mode=1775', 'uid=33', 'gid=33']));
    await rig.ok(['umount', 'b/rootfs']);
  });

  it('has the directories that it needs, whatever the image has', async () => {
    const settings = { working_dir: '/no/where', volumes: ['/alias/more/data', '/nothing'] };
    await using rig = await openRig(actor, settings);
    await rig.ok([
      'bundle',
      'app',
      'b',
      '--',
      'sh',
      '-c',
      'pwd; touch /srv/more/data/x && ls /srv/more/data; ls /nothing',
    ]);
    expect(await runc(rig, actor, 'b')).toBe('/no/where\nx');
    await rig.ok(['umount', 'b']);
    await rig.ok(['bundle', 'app', 'b', '--upper', 'up', '--', 'touch', '/file']);
    await runc(rig, actor, 'b');
    await rig.ok(['umount', 'b']);
    expect(await readdir(rig.path('up'))).toEqual(['file']);
  });

  it('writes where it is asked to', async () => {
    await using rig = await openRig(actor);
    await rig.ok(['bundle', 'app', 'b', '--upper', 'up', '--', 'sh', '-c', 'echo more >> /etc/passwd; rm /etc/group']);
    await runc(rig, actor, 'b');
    await rig.ok(['umount', 'b']);
    expect(await readFile(rig.path('up/etc/passwd'), 'utf8')).toMatch(/^root:[^]*more\n$/);
    await rig.ok(['bundle', 'app', 'b', '--rw', '--', 'sh', '-c', 'touch /new && cat /etc/group']);
    expect(await runc(rig, actor, 'b')).toMatch(/^web:x:33:/);
    await rig.ok(['umount', 'b']);
  });

  it('is the same one when it is made again, and stk mounts knows it', async () => {
    await using rig = await openRig(actor);
    await rig.ok(['bundle', 'app', 'b']);
    expect(await rig.ok(['bundle', 'app', 'b'])).toContain('mounted already');
    expect(await rig.ok(['mounts'])).toContain('b/rootfs');
    const file = rig.path('b/config.json');
    const changed = (await readFile(file, 'utf8')).replace('"hostname": "app"', '"hostname": "mine"');
    await writeFile(file, changed);
    const again = await rig.stk(['bundle', 'app', 'b']);
    expect(again).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('is kept') as string });
    expect(await readFile(file, 'utf8')).toBe(changed);
    await rig.ok(['umount', 'b']);
    // What was changed for one image is not overwritten with, nor used for, another one.
    expect(await rig.stk(['bundle', 'app', 'b', '--rw'])).toMatchObject({ exitCode: 0 });
    await rig.ok(['umount', 'b']);
    await writeFile(file, '{}');
    expect(await rig.stk(['bundle', 'app', 'b'])).toMatchObject({ exitCode: 12 });
    expect((await rig.stk(['umount', 'b'])).exitCode).toBe(8);
  });
});

it('volumes that an ordinary user cannot read begin empty, unless the mount is writable', async context => {
  const reason = await missing('userns', 'overlay', 'fuse', 'tool:runc', 'tool:fuse-overlayfs', 'tool:busybox');
  context.skip(reason !== undefined, reason);
  await using rig = await openRig('user', { run: `${APP.run}\nchmod 600 /srv/data/seed` });
  const command = ['--', 'sh', '-c', 'cat /srv/data/seed || echo empty; touch /srv/data/x'];
  const warned = await rig.stk(['bundle', 'app', 'b', ...command]);
  expect(warned).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('/srv/data begins empty') as string });
  expect(await runc(rig, 'user', 'b')).toBe('empty');
  await rig.ok(['umount', 'b']);
  await rig.ok(['bundle', 'app', 'b', '--rw', ...command]);
  expect(await runc(rig, 'user', 'b')).toBe('seed');
  await rig.ok(['umount', 'b']);
});

describe('the user of the image', () => {
  requires('root', 'userns', 'overlay', 'fuse', 'tool:runc', 'tool:fuse-overlayfs', 'tool:busybox');
  const settings = { runtime_user: 'web', cmd: ['/bin/sh', '-c', 'id; cat data/seed; ls -l /etc/passwd'] };
  const expected = /^uid=33\(web\) gid=33\(web\) groups=50\(extra\)\nseed\n-rw-r--r-- .* root /;

  it('comes with its groups, for root', async () => {
    await using rig = await openRig('root', settings);
    await rig.ok(['bundle', 'app', 'b']);
    expect(await runc(rig, 'root', 'b')).toMatch(expected);
    await rig.ok(['umount', 'b']);
  });

  it('cannot be had from the mount of an ordinary user, but inside of a user namespace', async () => {
    await using rig = await openRig('user', settings);
    const refused = await rig.stk(['bundle', 'app', 'b']);
    expect(refused).toMatchObject({ exitCode: 6, stderr: expect.stringContaining('--map-auto') as string });
    await rig.ok(['bundle', 'app', 'b', '--user', '0:0', '--', 'id', '-u']);
    expect(await runc(rig, 'user', 'b')).toBe('0');
    await rig.ok(['umount', 'b']);
    const { node, cli } = inject('stk');
    const [stk, bundle] = [`${node} ${cli}`, rig.path('inside')];
    const inside = `${stk} bundle app ${bundle} -q > /dev/null; runc --root ${rig.path('runc')} run -b ${bundle} x; ${stk} umount ${bundle} -q > /dev/null`;
    expect(await script(rig, 'user', `unshare --user --map-auto --map-root-user --mount sh -ec '${inside}'`)).toMatch(
      expected,
    );
    await rig.ok(['mounts', '--repair']);
  });
});

describe('podman', () => {
  requires('root', 'userns', 'overlay', 'fuse', 'kernel-squashfs', 'tool:podman', 'tool:runc', 'tool:busybox');
  it('runs the root of a bundle, with what it writes in a layer of its own', async () => {
    await using rig = await openRig('root');
    await withPodman(rig, 'root', async podman => {
      await rig.ok(['bundle', 'app', 'b']);
      const run = `${podman} run --rm --network none ${PODMAN_LIMITS} --rootfs ${rig.path('b/rootfs')}:O`;
      const said = await script(rig, 'root', `${run} sh -c 'cat /srv/data/seed; touch /new && ls -d /new'`);
      expect(said).toBe('seed\n/new');
      await rig.ok(['umount', 'b']);
    });
  });

  it('does so for an ordinary user inside of its namespace, as any user of the image', async () => {
    await using rig = await openRig('user');
    await withPodman(rig, 'user', async podman => {
      const { node, cli } = inject('stk');
      const run = `${podman} run --rm --network host ${PODMAN_LIMITS} --user web --rootfs ${rig.path('b/rootfs')}:O`;
      const inside = `${node} ${cli} bundle app b -q > /dev/null; ${run} id -un; ${node} ${cli} umount b -q > /dev/null`;
      expect(await script(rig, 'user', `${podman} unshare sh -ec '${inside}'`)).toBe('web');
    });
  });
});

describe('refused, with nothing mounted and nothing written', () => {
  requires('root', 'kernel-squashfs', 'tool:busybox');

  it.each<[string, object, readonly string[], number, RegExp]>([
    ['a user that the image does not have', { runtime_user: '../../x' }, [], 8, /no user/],
    ['no command', { cmd: undefined }, [], 2, /names no command/],
    ['a working directory that is a file', { working_dir: '/etc/passwd' }, [], 9, /passwd that is no directory/],
    ['a volume below a file', { volumes: ['/etc/passwd/x'] }, [], 9, /that is no directory/],
    ['a host name that is none', {}, ['--hostname', 'a b'], 2, /no host name/],
    ['--rw and --upper', {}, ['--rw', '--upper', 'up'], 2, /exclude/],
    ['a user that is none', {}, ['--user', 'a:b:c'], 9, /not a user/],
  ])('%s', async (_name, settings, flags, exitCode, text) => {
    await using rig = await openRig('root', settings);
    const refused = await rig.stk(['bundle', 'app', 'b', ...flags]);
    expect(refused.stderr).toMatch(text);
    expect(refused.exitCode).toBe(exitCode);
    expect(await readdir(rig.directory)).not.toContain('b');
    expect((await rig.stk(['umount', 'b'])).exitCode).toBe(8);
  });

  it('a directory that is not empty, a foreign config.json, no such image', async () => {
    await using rig = await openRig('root');
    await mkdir(rig.path('full/rootfs/x'), { recursive: true });
    expect((await rig.stk(['bundle', 'app', 'full'])).exitCode).toBe(12);
    expect((await rig.stk(['bundle', 'app', 'stacker.yaml'])).exitCode).toBe(9);
    await rig.write('foreign/config.json', '{"ociVersion":"1.0.2"}');
    expect((await rig.stk(['bundle', 'app', 'foreign'])).exitCode).toBe(12);
    expect(await readdir(rig.path('foreign'))).toEqual(['config.json']);
    expect((await rig.stk(['bundle', 'none', 'b'])).exitCode).toBe(8);
  });

  it('an image that reaches out of itself by symlinks', async () => {
    await using rig = await openRig('root', {
      run: 'ln -s ../../../../../../etc/passwd /etc/passwd; ln -s /etc /srv',
      volumes: [],
      runtime_user: 'root',
    });
    // The host's passwd has a root; the image's link leads to itself, and nowhere.
    const refused = await rig.stk(['bundle', 'app', 'b']);
    expect(refused.stderr).toContain('too many symlinks');
    expect(refused.exitCode).toBe(9);
  });
});
