import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { onShell, type Settings } from '../rig/shell-image.ts';
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
    expect((await rig.stk(['run', '--name', 'work', '--rm', 'app', 'true'])).exitCode).toBe(2);
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
