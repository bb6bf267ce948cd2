import { chmod, open, readdir, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { onShell, type Settings } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { listImage } from '../rig/tree-listing.ts';
import type { Actor } from '../rig/users.ts';

requires('root', 'userns', 'overlay', 'fuse', 'tool:busybox');

const ACCOUNTS =
  "printf 'root:x:0:0::/:/bin/sh\\nann:x:1000:1000::/:/bin/sh\\n' > /etc/passwd; printf 'ann:x:1000:\\nteam:x:2000:ann\\n' > /etc/group";

async function withApp(actor: Actor, settings: Settings = {}): Promise<StkRig> {
  const rig = await StkRig.open({ as: actor });
  const run = `${ACCOUNTS}; mkdir /data; echo sample > /data/sample`;
  await rig.write('stacker.yaml', onShell({ environment: { PATH: '/bin', A: 'image' }, run, ...settings }));
  await rig.ok(['build']);
  return rig;
}

describe.each<Actor>(['root', 'user'])('stk run as %s', actor => {
  it('runs the command by the configuration of the image', async () => {
    await using rig = await withApp(actor, {
      entrypoint: ['/bin/sh', '-c'],
      cmd: ['id; pwd; echo "$A $B"; hostname; exit 7'],
      runtime_user: 'ann',
      working_dir: '/srv/made',
    });
    const { exitCode, stdout } = await rig.stk(['run', '-e', 'B=mine', '--hostname', 'box', 'app']);
    expect(exitCode).toBe(7);
    expect(stdout.split('\n')).toEqual([
      'uid=1000(ann) gid=1000(ann) groups=1000(ann),2000(team)',
      '/srv/made',
      'image mine',
      'box',
      '',
    ]);
    expect((await rig.stk(['run', 'app', 'kill -9 $$'])).exitCode).toBe(137);
    expect(await rig.ok(['run', '-u', '7:8', '-w', '/data', 'app', 'id -u; id -g; ls'])).toBe('7\n8\nsample\n');
    expect(await rig.ok(['run', '--entrypoint', '', 'app', 'echo', '-n', '--env'])).toBe('--env');
  });

  it('tells what is missing and what cannot be executed by 127 and 126', async () => {
    await using rig = await withApp(actor);
    expect((await rig.stk(['run', 'app', 'nope'])).exitCode).toBe(127);
    expect((await rig.stk(['run', 'app', '/etc/passwd'])).exitCode).toBe(126);
    expect(await rig.stk(['run', 'app'])).toMatchObject({
      exitCode: 125,
      stderr: expect.stringContaining('no command'),
    });
    expect((await rig.stk(['run', 'none', 'true'])).exitCode).toBe(125);
  });

  it('writes into a layer of its own that goes with it', async () => {
    await using rig = await withApp(actor);
    expect(await rig.ok(['run', 'app', 'sh', '-c', 'echo x > /new; rm /data/sample; ls /new /data'])).toBe(
      '/new\n\n/data:\n',
    );
    expect(await rig.ok(['run', 'app', 'sh', '-c', 'ls -A / /data | grep -c -e new -e sample'])).toBe('1\n');
    expect((await rig.stk(['run', '--read-only', 'app', 'touch', '/x'])).exitCode).toBe(1);
    expect(await readdir(rig.path('.stk/run'))).toEqual([]);
    expect(await rig.ok(['mounts'])).not.toContain(rig.directory);
  });

  it('keeps what it writes under a name, goes on with it, and commits it', async () => {
    await using rig = await withApp(actor);
    await rig.ok(['run', '--name', 'work', '--keep', 'app', 'sh', '-c', 'echo 1 > /kept; rm /data/sample']);
    expect(await rig.ok(['run', '--name', 'work', '--keep', 'app', 'cat', '/kept'])).toBe('1\n');
    const [container] = JSON.parse(await rig.ok(['containers', '--json'])) as Settings[];
    expect(container).toMatchObject({ name: 'work', tag: 'app', inUse: false });
    await rig.ok(['commit', 'work', 'next']);
    const [before, after] = [await listImage(rig.path('oci'), 'app'), await listImage(rig.path('oci'), 'next')];
    const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
      name => before.get(name) !== after.get(name),
    );
    expect(changed.toSorted()).toEqual(['data/sample', 'kept']);
    expect(await rig.ok(['rm', 'work'])).toBe('work\n');
    expect(JSON.parse(await rig.ok(['containers', '--json']))).toEqual([]);
  });

  it('shows what is asked for of the host, and nothing through links of the image', async () => {
    await using rig = await withApp(actor, { run: 'ln -s /oldroot/etc /link; ln -s ../../../.. /up; mkdir /d' });
    await rig.write('host/file', 'from the host\n');
    await chmod(rig.path('host'), 0o777);
    const volume = (target: string) => ['-v', `host:${target}`];
    expect(await rig.ok(['run', ...volume('/d:ro'), 'app', 'cat', '/d/file'])).toBe('from the host\n');
    expect((await rig.stk(['run', ...volume('/d:ro'), 'app', 'touch', '/d/x'])).exitCode).toBe(1);
    await rig.ok(['run', ...volume('/made/here'), 'app', 'sh', '-c', 'echo back > /made/here/back']);
    expect(await readdir(rig.path('host'))).toEqual(['back', 'file']);
    expect(await rig.ok(['run', ...volume('/up/etc/x'), 'app', 'cat', '/etc/x/file'])).toBe('from the host\n');
    expect(await rig.stk(['run', ...volume('/link/x'), 'app', 'true'])).toMatchObject({ exitCode: 125 });
    expect(await rig.stk(['run', '-v', 'absent:/d', 'app', 'true'])).toMatchObject({ exitCode: 125 });
  });

  it('gives everybody shared memory and places in memory', async () => {
    await using rig = await withApp(actor, { run: 'test $(stat -c %a /dev/shm) = 1777; test -c /dev/null' });
    await rig.write('host', 'mine');
    const flags = ['-u', '1000:1000', '--tmpfs', '/t', '-v', 'host:/dev/shm/deep/file:ro', '-v', 'host:/t/deep/file'];
    const script =
      'stat -c %a /dev/shm /t; touch /dev/shm/x /t/x; cat /dev/shm/deep/file /t/deep/file; grep -c " /dev/shm tmpfs " /proc/mounts';
    expect(await rig.ok(['run', ...flags, 'app', 'sh', '-c', script])).toBe('1777\n1777\nminemine1\n');
  });

  it('gives a terminal of its own that has the size of the outer one', async () => {
    await using rig = await withApp(actor);
    const words = ['run', '-it', 'app', 'sh', '-c', 'test -t 0 && test -t 1 && stty size; exit 3'];
    const { stdout, exitCode } = await rig.stk(words, { terminal: { rows: 33, columns: 99 } });
    // What the outer terminal echoes of the end of its input may come before.
    expect([exitCode, stdout]).toEqual([3, expect.stringMatching(/33 99\r\n$/)]);
  });

  it('passes on signals, and leaves nothing', async () => {
    await using rig = await withApp(actor);
    const script = "trap 'echo ended; exit 5' TERM; echo ready >&2; while :; do sleep 0.1; done";
    const running = await rig.start(['run', 'app', 'sh', '-c', script]);
    await running.said(/ready/);
    running.kill('SIGTERM');
    expect(await running.done).toMatchObject({ exitCode: 5, stdout: 'ended\n' });
    expect(await readdir(rig.path('.stk/run'))).toEqual([]);
  });
});

describe('stk run', () => {
  it('is cleared away by the next one after a kill', async () => {
    await using rig = await withApp('root');
    const running = await rig.start(['run', 'app', 'sh', '-c', 'echo ready >&2; sleep 1000']);
    await running.said(/ready/);
    running.kill('SIGKILL');
    await running.done;
    const [left] = await readdir(rig.path('.stk/run'));
    expect((await readdir(rig.path('.stk/run', left!))).filter(name => name.includes('args'))).toEqual([]);
    await using inside = await open(rig.path('.stk/run', left!, 'root'), 'r');
    const beside = await rig.stk(['run', 'app', 'true']);
    expect(beside).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(/warning: .* in use/) });
    await inside.close();
    await rig.ok(['run', 'app', 'true']);
    expect(await readdir(rig.path('.stk/run'))).toEqual([]);
    expect(await rig.ok(['mounts'])).not.toContain(rig.directory);
  });

  it.each([
    ['a user that is a path', { runtime_user: '../x' }, ['true']],
    ['a working directory below a file', { working_dir: '/etc/passwd/x' }, ['true']],
    ['no command', {}, []],
  ])('refuses %s', async (_name, settings, words) => {
    await using rig = await withApp('root', settings);
    expect((await rig.stk(['run', 'app', ...words])).exitCode).toBe(125);
  });

  it('reads variables from files, the later ones win', async () => {
    await using rig = await withApp('root');
    await writeFile(rig.path('vars'), '# note\nA=file\nC=c=d\n');
    const words = ['run', '--env-file', 'vars', '-e', 'A=flag', 'app', 'sh', '-c', 'echo $A $C'];
    expect(await rig.ok(words)).toBe('flag c=d\n');
  });
});

describe('volumes of the image', () => {
  it.each<Actor>(['root', 'user'])('begin with what is there, owners included, as %s', async actor => {
    await using rig = await withApp(actor, {
      run: `${ACCOUNTS}; mkdir -p /srv/v; echo s > /srv/v/s; chown -R 1000:1000 /srv/v`,
      volumes: ['/srv/v'],
      runtime_user: 'ann',
    });
    expect(await rig.ok(['run', 'app', 'sh', '-c', 'echo mine > /srv/v/mine; cat /srv/v/s /srv/v/mine'])).toBe(
      's\nmine\n',
    );
    for (const place of ['/', '/proc', '/a/..']) {
      expect(await rig.stk(['run', '-v', `.:${place}`, 'app', 'true'])).toMatchObject({ exitCode: 125 });
    }
  });

  it('lie around what is asked for, and give way to it', async () => {
    await using rig = await withApp('root', {
      run: 'mkdir -p /srv/v/sub /srv/w /run /var /etc; ln -s /run /var/run',
      volumes: ['/srv/v', '/srv/w'],
    });
    await rig.write('host/seen', '');
    const script = 'ls /srv/v/sub; grep -o " /run tmpfs\\| /srv/w tmpfs" /proc/mounts; ls -A /etc';
    const flags = ['--tmpfs', '/var/run', '-v', 'host:/srv/v/sub', '--tmpfs', '/srv/w', '-v', 'host:/etc'];
    expect(await rig.ok(['run', ...flags, 'app', 'sh', '-c', script])).toBe('seen\n /run tmpfs\n /srv/w tmpfs\nseen\n');
    expect(await readdir(rig.path('host'))).toEqual(['seen']);
  });
});
