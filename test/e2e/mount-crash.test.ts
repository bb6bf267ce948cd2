import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { packFile, writeImage, type HandmadeLayer } from '../rig/squashfs-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

interface Listing {
  readonly mounts: readonly { readonly target: string; readonly status: string }[];
  readonly strays: readonly string[];
}

const LAYERS = 12;
const KNOWN = { 'dev.stk.layer.role': 'base' };

const WAYS: readonly (readonly [string, Actor, readonly string[]])[] = [
  ['root, kernel', 'root', ['--kernel']],
  ['root, FUSE', 'root', ['--fuse']],
  ['an ordinary user', 'user', []],
];

/** Keeps root's tests apart from each other: every rig has state of its own only as an ordinary user. */
async function statuses(rig: StkRig): Promise<string[]> {
  const { mounts } = JSON.parse(await rig.ok(['mounts', '--json'])) as Listing;
  return mounts.filter(mount => mount.target.startsWith(rig.directory)).map(mount => mount.status);
}

async function image(rig: StkRig): Promise<void> {
  const layers: HandmadeLayer[] = [];
  for (let n = 0; n < LAYERS; n++)
    layers.push({ bytes: await packFile(`file-${n}`, rig.directory), annotations: KNOWN });
  await writeImage(rig.path('oci'), 'app', layers);
}

/** Loop devices, mounts and FUSE processes that hold a blob of this rig. */
async function traces(rig: StkRig): Promise<string[]> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .filter(line => line.includes(rig.directory));
  const loops = (await execa('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'])).stdout.split('\n');
  const processes: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (/squashfuse|fuse-overlayfs/.test(command) && command.includes(rig.directory)) processes.push(command);
  }
  return [...mounts, ...loops.filter(file => file.startsWith(rig.directory)), ...processes];
}

async function expectClean(rig: StkRig): Promise<void> {
  await expect.poll(() => traces(rig), { timeout: 10_000 }).toEqual([]);
}

describe.each(WAYS)('kill -9 as %s', (_name, actor, flags) => {
  requires('root', 'user', 'fuse', 'kernel-squashfs', 'tool:fuse-overlayfs', 'tool:squashfuse_ll', 'tool:losetup');

  it('while mounting: what is there is told and cleaned up', async () => {
    await using rig = await StkRig.open({ as: actor });
    await image(rig);
    const started = performance.now();
    await rig.ok(['mount', 'app', 'm', ...flags]);
    const wholeMs = performance.now() - started;
    await rig.ok(['umount', 'm']);
    for (let n = 1; n <= 8; n++) {
      const running = await rig.start(['mount', 'app', 'm', ...flags]);
      const timer = setTimeout(() => running.kill('SIGKILL'), (wholeMs * n) / 8);
      await running.done;
      clearTimeout(timer);
      const found = await statuses(rig);
      expect(found.length).toBeLessThanOrEqual(1);
      if (n % 2 === 0) await rig.ok(['mounts', '--repair']);
      // A repair leaves alone what stands; an unmount takes it.
      if (n % 2 === 1 ? found.length > 0 : found[0] === 'mounted') await rig.ok(['umount', 'm']);
      else await rig.ok(['mounts', '--repair']);
      expect(await statuses(rig)).toEqual([]);
      await expectClean(rig);
      expect(await readdir(rig.directory)).not.toContain('m');
    }
  });

  it('while unmounting: the next unmount finishes it', async () => {
    await using rig = await StkRig.open({ as: actor });
    await image(rig);
    await rig.ok(['mount', 'app', 'm', ...flags]);
    const started = performance.now();
    await rig.ok(['umount', 'm']);
    const wholeMs = performance.now() - started;
    for (let n = 1; n <= 6; n++) {
      await rig.ok(['mount', 'app', 'm', ...flags]);
      const running = await rig.start(['umount', 'm']);
      const timer = setTimeout(() => running.kill('SIGKILL'), (wholeMs * n) / 6);
      await running.done;
      clearTimeout(timer);
      if ((await statuses(rig)).length > 0) await rig.ok(['umount', 'm']);
      else await rig.ok(['mounts', '--repair']);
      await expectClean(rig);
    }
  });

  it('of whoever else: an unmount behind our back is told and cleaned up', async () => {
    await using rig = await StkRig.open({ as: actor });
    await image(rig);
    await rig.ok(['mount', 'app', 'm', ...flags]);
    await execa('umount', [rig.path('m')]);
    expect(await statuses(rig)).toEqual(['gone']);
    await rig.ok(['mount', 'app', 'm', ...flags]);
    expect(await statuses(rig)).toEqual(['mounted']);
    await execa('umount', [rig.path('m')]);
    await rig.ok(['umount', 'm']);
    await expectClean(rig);
  });
});

describe('dead servers', () => {
  requires('user', 'fuse', 'tool:fuse-overlayfs', 'tool:squashfuse_ll');

  it.each(['squashfuse_ll', 'fuse-overlayfs'])('%s: told, repaired, and mounted anew', async tool => {
    await using rig = await StkRig.open({ as: 'user' });
    await image(rig);
    await rig.ok(['mount', 'app', 'm']);
    const pids: string[] = [];
    for (const pid of await readdir('/proc')) {
      const command = await readFile(path.join('/proc', pid, 'cmdline'), 'utf8').catch(() => '');
      if (command.startsWith(tool) && command.includes(rig.directory)) pids.push(pid);
    }
    expect(pids.length).toBeGreaterThan(0);
    await execa('kill', ['-KILL', pids[0]!]);
    await expect.poll(() => statuses(rig), { timeout: 10_000 }).toEqual(['broken']);
    const listed = await rig.stk(['mounts']);
    expect(listed.stderr).toContain('--repair');
    expect(await rig.ok(['mounts', '--repair'])).toContain(`cleared ${rig.path('m')}`);
    await expectClean(rig);
    await rig.ok(['mount', 'app', 'm']);
    expect(await statuses(rig)).toEqual(['mounted']);
    await rig.ok(['umount', 'm']);
  });
});
