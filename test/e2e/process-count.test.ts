import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { onShell, SHELL } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

/** Each program costs Node 5 to 10 ms, and more on a busy machine: what is started must not become more unnoticed. */
describe('programs that are started', () => {
  requires('root', 'overlay', 'fuse', 'kernel-squashfs', 'tool:busybox', 'tool:strace');
  let rig: StkRig;
  beforeAll(async () => {
    rig = await StkRig.open();
    await rig.write('stacker.yaml', {
      ...onShell({ environment: { PATH: '/bin' }, run: 'echo 1 > /x' }),
      shell: { ...SHELL, build_only: false },
    });
    await rig.ok(['build']);
    // Where a server checks blocks, it runs from here on; what is traced brings it another layer.
    await rig.ok(['mount', 'shell', 'held']);
  });
  afterAll(async () => {
    await rig.ok(['umount', 'held']);
    await rig[Symbol.asyncDispose]();
  });

  async function started(args: readonly string[]): Promise<readonly string[]> {
    const log = rig.path('log');
    await rig.ok(args, { through: ['strace', '--follow-forks', '--trace=execve', `--output=${log}`] });
    return (await readFile(log, 'utf8')).split('\n').flatMap(line => /execve\("([^"]*)".* = 0$/.exec(line)?.[1] ?? []);
  }

  it.each<readonly [string, number, readonly string[]]>([
    ['by run: bubblewrap and what it needs', 5, ['run', 'app', 'true']],
    ['by run: for another user, what enters the image as root', 6, ['run', '-u', '7', 'app', 'true']],
    ['by run: for a directory, also what tells its name', 7, ['run', '-u', '7', '-w', '/tmp', 'app', 'true']],
    ['by mount: none', 1, ['mount', 'app', 'm']],
    ['by umount: none', 1, ['umount', 'm']],
  ])('%s', async (_what, most, args) => {
    const programs = await started(args);
    expect(programs.length, programs.join('\n')).toBeLessThanOrEqual(most);
  });
});
