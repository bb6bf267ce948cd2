import { mkdir } from 'node:fs/promises';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { onShell } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'overlay', 'tool:busybox');

it.each([
  ['space', 'size=12m', 'dd if=/dev/zero of=/f bs=64k', /command `dd .*` failed .*: there is no space left in/],
  ['files', 'size=64m,nr_inodes=900', 'for n in $(seq 2000); do : > /$n; done', /there is no room for more files left/],
])('a step that fails for want of %s says so', async (_, limits, run, reason) => {
  await using rig = await StkRig.open();
  await mkdir(rig.path('small'));
  await execa('mount', ['-t', 'tmpfs', '-o', limits, 'tmpfs', rig.path('small')]);
  try {
    await rig.write('stacker.yaml', onShell({ run }));
    const { exitCode, stderr } = await rig.stk(['build', '--stk-dir', 'small/stk', '--progress', 'quiet']);
    expect([exitCode, stderr]).toEqual([10, expect.stringMatching(reason)]);
    await rig.write('stacker.yaml', onShell({ run: 'exit 7' }));
    expect(await rig.stk(['build', '--stk-dir', 'small/stk'])).toMatchObject({ exitCode: 4 });
  } finally {
    await execa('umount', [rig.path('small')]);
  }
});
