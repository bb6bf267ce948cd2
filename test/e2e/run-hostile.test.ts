import { chmod, copyFile, mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { onShell, type Settings } from '../rig/shell-image.ts';
import { packDirectory } from '../rig/squashfs-image.ts';
import { writeStack } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

requires('root', 'userns', 'overlay', 'fuse', 'tool:busybox');

async function withApp(actor: Actor, settings: Settings = {}): Promise<StkRig> {
  const rig = await StkRig.open({ as: actor });
  await rig.write('stacker.yaml', onShell({ environment: { PATH: '/bin' }, run: 'mkdir /data', ...settings }));
  await rig.ok(['build', '--no-verity']);
  return rig;
}

describe.each<Actor>(['root', 'user'])('what a container as %s can do', actor => {
  it('lets it write to copies of network files alone, and forgets them', async () => {
    await using rig = await withApp(actor);
    const before = await Promise.all(['/etc/resolv.conf', '/etc/hosts'].map(file => readFile(file, 'utf8')));
    const keep = ['run', '--name', 'work', '--keep', 'app'];
    expect(
      await rig.ok([...keep, 'sh', '-c', 'cat /etc/hosts; echo x >> /etc/resolv.conf; echo x >> /etc/hosts']),
    ).toMatch(/127\.0\.0\.1\twork/);
    expect(await Promise.all(['/etc/resolv.conf', '/etc/hosts'].map(file => readFile(file, 'utf8')))).toEqual(before);
    expect(
      await rig.ok(['run', '--network', 'none', '--name', 'work', 'app', 'sh', '-c', 'ls -A /etc; ls /sys/class/net']),
    ).toBe('hosts\n');
  });

  it('runs beside others of its image that begin and end', async () => {
    await using rig = await withApp(actor);
    const runs = Array.from({ length: 6 }, (_, index) => rig.ok(['run', 'app', 'echo', String(index)]));
    expect(await Promise.all(runs)).toEqual(['0\n', '1\n', '2\n', '3\n', '4\n', '5\n']);
  });

  it('goes on with a kept container by its name alone', async () => {
    await using rig = await withApp(actor);
    await rig.ok(['run', '--name', 'work', '--keep', 'app', 'touch', '/data/x']);
    expect(await rig.ok(['run', '--name', 'work', 'app', 'ls', '/data'])).toBe('x\n');
    expect((await rig.stk(['run', '--name', 'work', '--rm', 'app', 'true'])).exitCode).toBe(125);
  });

  it('ends a container that will not end at the second signal', async () => {
    await using rig = await withApp(actor);
    const script = "trap 'echo no >&2' TERM; echo ready >&2; while :; do sleep 0.1; done";
    const running = await rig.start(['run', 'app', 'sh', '-c', script]);
    await running.said(/ready/);
    const refused = running.said(/no/);
    running.kill('SIGTERM');
    await refused;
    running.kill('SIGTERM');
    expect((await running.done).exitCode).toBe(137);
    expect(await rig.ok(['mounts', '--json'])).not.toContain(rig.directory);
  });

  it('cannot gain capabilities, mount, or see the host', async () => {
    await using rig = await withApp(actor);
    const look = 'grep -e NoNewPrivs -e CapInh -e CapAmb /proc/self/status; ls /proc | grep -c "^[0-9]"';
    const lines = (await rig.ok(['run', '-u', '1:1', 'app', 'sh', '-c', look])).trim().split('\n');
    expect(lines.slice(0, 3).join(' ').replace(/\s+/g, ' ')).toBe(
      'CapInh: 0000000000000000 CapAmb: 0000000000000000 NoNewPrivs: 1',
    );
    expect(Number(lines[3])).toBeLessThan(8);
    expect((await rig.stk(['run', '-u', '1:1', 'app', 'mount', '-t', 'tmpfs', 'none', '/data'])).exitCode).not.toBe(0);
    expect((await rig.stk(['run', 'app', 'sh', '-c', 'echo x > /dev/.stk/setpriv'])).exitCode).not.toBe(0);
  });
});

/** What an image holds besides a shell that says as whom it runs, whatever it is called with. */
interface Hostile {
  readonly links?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  /** Places of that shell. */
  readonly shells?: readonly string[];
  readonly config?: Settings;
}

const SAYS_WHO = '#!/bin/busybox sh\necho "ran as $(/bin/busybox id -u)"\n';

async function hostileImage(rig: StkRig, { links = {}, files = {}, shells = [], config = {} }: Hostile): Promise<void> {
  const root = rig.path('root');
  await mkdir(path.join(root, 'bin'), { recursive: true });
  await copyFile('/bin/busybox', path.join(root, 'bin/busybox'));
  const all = { ...files, ...Object.fromEntries(shells.map(place => [place, SAYS_WHO])) };
  for (const [place, content] of Object.entries(all)) {
    await mkdir(path.dirname(path.join(root, place)), { recursive: true });
    await writeFile(path.join(root, place), content);
    await chmod(path.join(root, place), 0o755);
  }
  for (const [place, to] of Object.entries(links)) {
    await mkdir(path.dirname(path.join(root, place)), { recursive: true });
    await symlink(to, path.join(root, place));
  }
  const annotations = { 'dev.stk.layer.role': 'run' };
  await writeStack(rig.path('oci'), 'app', { layers: [{ bytes: await packDirectory(root), annotations }], config });
  await rm(root, { recursive: true });
}

describe('an image that wants to be root, run as another user', () => {
  const WHO = ['-u', '1000:1000', 'app', '/bin/busybox', 'id'];
  const fakes = (directory: string) => ['setpriv', 'unshare', 'loader'].map(name => `${directory}/${name}`);

  it.each<[string, Hostile]>([
    [
      'a volume over the tools',
      { links: { data: '/dev/.stk' }, shells: fakes('dev/.stk'), config: { Volumes: { '/data': {} } } },
    ],
    ['a link in the place of /dev', { links: { dev: '/oldroot/dev' }, shells: fakes('oldroot/dev/.stk') }],
  ])('is refused with %s', async (_name, image) => {
    await using rig = await StkRig.open({ as: 'root' });
    await hostileImage(rig, image);
    const { stdout, stderr, exitCode } = await rig.stk(['run', ...WHO]);
    expect({ stdout, exitCode }, stderr).toEqual({ stdout: '', exitCode: 125 });
  });

  it('cannot by accounts that are numbers, or name services of its own', async () => {
    await using rig = await StkRig.open({ as: 'root' });
    const accounts = { 'etc/passwd': '1000:x:0:0::/:/bin/sh\n', 'etc/group': '1000:x:0:\n' };
    await hostileImage(rig, { files: { ...accounts, 'etc/nsswitch.conf': 'passwd: files evil\n' } });
    expect(await rig.ok(['run', ...WHO])).toMatch(/^uid=1000\S* gid=1000\S*/);
  });

  it.each<Actor>(['root', 'user'])('cannot by what the loader of programs heeds, run by %s', async actor => {
    await using rig = await StkRig.open({ as: actor });
    // The loader traces every program that it starts into a file of its user's.
    const Env = ['LD_DEBUG=files', 'LD_DEBUG_OUTPUT=/tmp/trace', 'PATH=/bin'];
    await hostileImage(rig, { files: { 'etc/ld.so.preload': '/evil.so\n', 'tmp/x': '' }, config: { Env } });
    const script = 'busybox ls -n /tmp; busybox env';
    const words = ['run', '-u', '1000:1000', '--tmpfs', '/tmp', 'app', 'busybox', 'sh', '-c', script];
    const { stdout, stderr } = await rig.stk(words);
    expect(stdout).toContain('LD_DEBUG_OUTPUT=/tmp/trace\n');
    expect(stdout).not.toMatch(/ 0 +0 .*trace/);
    expect(stderr.match(/ld\.so: object '\/evil\.so'/g)?.length ?? 0).toBeLessThanOrEqual(1);
  });
});

describe('what an image names', () => {
  it.each(['0', '7'])('leads to nothing of the host that the sandbox has open, for user %s', async user => {
    await using rig = await StkRig.open({ as: 'root' });
    // What the image itself has below /proc cannot be seen in a container.
    const files = { 'proc/self/fd/3/x': '' };
    await hostileImage(rig, { links: { way: '/proc/self/fd/3' }, files, config: { WorkingDir: '/way' } });
    const found = await rig.stk(['run', '-u', user, 'app', '/bin/busybox', 'ls']);
    expect(found).toMatchObject({ exitCode: 1, stdout: '' });
  });

  it('go through no link that a kept container left behind', async () => {
    await using rig = await StkRig.open({ as: 'root' });
    await hostileImage(rig, {});
    const run = ['run', '--name', 'work'];
    const link = `i=0; while [ $i -le 41 ]; do busybox ln -s /l$((i+1)) /l$i; i=$((i+1)); done; busybox ln -s ${rig.directory} /l42`;
    await rig.ok([...run, '--keep', 'app', '/bin/busybox', 'sh', '-c', `PATH=/bin; ${link}`]);
    await rig.write('file', '');
    const before = await readdir(rig.directory);
    expect((await rig.stk([...run, '-v', 'file:/l0/made', 'app', '/bin/busybox', 'true'])).exitCode).toBe(125);
    expect(await readdir(rig.directory)).toEqual(before);
  });
});
