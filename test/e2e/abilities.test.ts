import { execa } from 'execa';
import { describe, expect, inject, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { buildSample } from '../rig/sample-build.ts';
import { StkRig } from '../rig/stk-rig.ts';

/** A kernel that has no driver for them: major 240 is set aside for experiments (admin-guide/devices.txt). */
const DEAD = (node: string) => `mkdir -p ${node.replace(/\/[^/]*$/, '')}; rm -f ${node}; mknod ${node} c 240 77; `;
/** Opens, and does nothing that it should. */
const IDLE = (node: string) => `mkdir -p ${node.replace(/\/[^/]*$/, '')}; rm -f ${node}; mknod ${node} c 1 3; `;

/** Runs commands of stk in a mount namespace with a /dev of its own. */
async function withDevices(rig: StkRig, change: string, commands: string) {
  const { node, cli } = inject('stk');
  const script = [
    'mount -t tmpfs devices /mnt; cp -ax /dev/. /mnt/; mount --move /mnt /dev',
    change,
    `stk() { ${node} ${cli} "$@"; }; cd ${rig.directory}`,
    commands,
  ].join('\n');
  const env = { PATH: process.env['PATH'] ?? '', HOME: rig.path('home') };
  return execa('unshare', ['--mount', 'sh', '-uc', script], { env, extendEnv: false, reject: false });
}

describe('what the host only seems to have', () => {
  requires('root', 'fuse', 'kernel-squashfs', 'tool:squashfuse_ll', 'tool:veritysetup');

  it.each<[string, string, RegExp]>([
    ['a dead device-mapper', DEAD('/dev/mapper/control'), /^mounted.*kernel squashfs.*checked by stk/],
    ['one that is none', IDLE('/dev/mapper/control'), /^mounted.*kernel squashfs.*checked by stk/],
    ['no loop devices', 'rm /dev/loop-control; ', /^mounted.*squashfuse_ll.*loop-control is absent/],
    ['a dead loop control', DEAD('/dev/loop-control'), /^mounted.*squashfuse_ll.*no driver behind/],
    [
      'one that is none either',
      `rm /dev/loop*; ${IDLE('/dev/loop-control')}`,
      /^mounted.*squashfuse_ll.*the kernel does not mount/,
    ],
  ])('is passed over: %s', async (_name, change, said) => {
    await using rig = await StkRig.open();
    await buildSample(rig);
    const commands = 'stk mount app m && cmp root/etc/base m/etc/base && stk umount m';
    const { exitCode, stdout, stderr } = await withDevices(rig, change, commands);
    expect([exitCode, stdout], stderr).toEqual([0, expect.stringMatching(said)]);
  });

  it('is named where nothing else is left, and by check', async () => {
    await using rig = await StkRig.open();
    await buildSample(rig);
    const dead = [DEAD('/dev/loop-control'), DEAD('/dev/mapper/control'), DEAD('/dev/fuse')].join('');
    const { stdout, stderr } = await withDevices(rig, dead, 'stk mount app m; echo "status $?"; stk check');
    expect(stdout, stderr).toMatch(/^status 6$/m);
    expect(stderr).toMatch(/\/dev\/fuse is there, but this kernel has no driver behind it/);
    for (const name of ['FUSE', 'loop devices', 'dm-verity'])
      expect(stdout).toMatch(new RegExp(`absent +${name}: .*no driver`));
  });
});
