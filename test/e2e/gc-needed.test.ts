import { readFile, rm, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { AsyncScope } from '../../src/core/async-scope.ts';
import { requires } from '../rig/gates.ts';
import { SHELL } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

/** An image that no tag names any more. */
async function openUntagged(as: Actor, prepare: (rig: StkRig) => Promise<void>): Promise<StkRig> {
  const rig = await StkRig.open({ as });
  const { build_only: _, ...shell } = SHELL;
  await rig.write('stacker.yaml', { app: shell });
  await rig.ok(['build']);
  await prepare(rig);
  const index = JSON.parse(await readFile(rig.path('oci/index.json'), 'utf8')) as object;
  await writeFile(rig.path('oci/index.json'), JSON.stringify({ ...index, manifests: [] }));
  return rig;
}

async function collected(rig: StkRig, as?: Actor): Promise<number> {
  const text = await rig.ok(['--stk-dir', 'another', 'gc', '--no-keep-cache', '--json'], as ? { as } : {});
  return (JSON.parse(text) as { removed: readonly unknown[] }).removed.length;
}

describe('gc leaves alone', () => {
  requires('root', 'user', 'userns', 'overlay', 'fuse', 'kernel-squashfs', 'tool:fuse-overlayfs', 'tool:squashfuse_ll');

  it.each<[mounter: Actor, collector: Actor]>([
    ['root', 'root'],
    ['user', 'user'],
    ['user', 'root'],
    ['root', 'user'],
  ])('what a mount of %s needs, as %s', async (mounter, collector) => {
    // The layout is the user's wherever one of the two is.
    const owner = mounter === 'root' && collector === 'root' ? 'root' : 'user';
    await using rig = await openUntagged(owner, async each => {
      await each.ok(['mount', 'app', each.path('m')], { as: mounter });
    });
    expect(await collected(rig, collector)).toBe(0);
    const { stdout } = await execa('sh', [
      '-c',
      mounter === 'root' ? `cat ${rig.path('m/bin/busybox')} | wc -c` : 'echo 1',
    ]);
    expect(Number(stdout)).toBeGreaterThan(0);
    await rig.ok(['umount', rig.path('m')], { as: mounter });
    expect(await collected(rig, collector)).toBeGreaterThan(0);
  });

  it.each<Actor>(['root', 'user'])('what a container of %s needs while it runs, and while it is kept', async as => {
    await using rig = await openUntagged(as, async each => {
      await each.ok(['run', '--name', 'kept', '--keep', 'app', '/bin/sh', '-c', 'echo 1 > /one']);
    });
    expect(await collected(rig)).toBe(0);
    await rig.ok(['rm', 'kept']);
    expect(await collected(rig)).toBeGreaterThan(0);
  });

  it.each<Actor>(['root', 'user'])('what a command of %s runs on', async as => {
    await using scope = new AsyncScope();
    await using rig = await openUntagged(as, async each => {
      const command = 'mkfifo /tmp/never; echo begun >&2; read nothing < /tmp/never';
      const running = await each.start(['run', 'app', '/bin/sh', '-c', command]);
      await running.said(/begun/);
      scope.defer(async () => {
        running.kill('SIGTERM');
        await running.done;
      });
    });
    expect(await collected(rig)).toBe(0);
    await scope[Symbol.asyncDispose]();
    expect(await collected(rig)).toBeGreaterThan(0);
  });

  it('what an upper directory was mounted on, as long as that is there', async () => {
    await using rig = await openUntagged('root', async each => {
      await each.ok(['mount', 'app', 'm', '--upper', 'changes']);
      await each.ok(['umount', 'm']);
    });
    expect(await collected(rig)).toBe(0);
    await rm(rig.path('changes'), { recursive: true });
    expect(await collected(rig)).toBeGreaterThan(0);
  });

  it('what a mount needs to come back after its server died', async () => {
    await using rig = await openUntagged('root', async each => {
      await each.ok(['mount', 'app', 'm', '--fuse']);
    });
    expect(await collected(rig)).toBe(0);
    const { mounts } = JSON.parse(await rig.ok(['mounts', '--json'])) as {
      mounts: { target: string; logs: string[] }[];
    };
    const [log = ''] = mounts.find(({ target }) => target === rig.path('m'))!.logs;
    const { pid } = JSON.parse(await readFile(log.replace(/log$/, 'json'), 'utf8')) as { pid: number };
    process.kill(pid, 'SIGKILL');
    expect(await readFile(rig.path('m/bin/busybox'))).toEqual(await readFile('/bin/busybox'));
    await rig.ok(['umount', 'm']);
  });
});
