import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { onShell } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

describe.each<Actor>(['root', 'user'])('as %s, chroot', actor => {
  if (actor === 'root') requires('root', 'overlay', 'tool:busybox');
  else requires('user', 'userns', 'fuse', 'tool:busybox');

  it('runs a shell or command on an image with what its steps have, and throws away what it writes', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('file', 'imported\n');
    await rig.write('bound/f', 'bound\n');
    await rig.write('stacker.yaml', {
      config: { prerequisites: ['lib.yaml'] },
      ...onShell({
        imports: ['file'],
        binds: ['bound -> /mnt'],
        build_env: { WORD: 'of the build' },
        run: 'cp /stacker/imports/file /made',
        build_only: true,
      }),
    });
    await rig.write('lib.yaml', { lib: { from: 'scratch' } });
    const look = 'cat /made /stacker/imports/file /mnt/f; echo $WORD, $STACKER_LAYER_NAME; touch /written; exit 3';
    expect(await rig.stk(['chroot', 'app'], { stdin: `${look}\n` })).toMatchObject({
      exitCode: 3,
      stdout: 'imported\nimported\nbound\nof the build, app\n',
    });
    expect(await rig.ok(['chroot', 'app', 'test -e /written || echo $((1 + 1))'])).toBe('2\n');
    expect(await rig.ok(['chroot', 'app', 'echo', 'a  b'])).toBe('a  b\n');
    expect(await rig.ok(['exec'], { stdin: 'ls /made 2>&1 || echo first\n' })).toContain('first');
    expect(await rig.ok(['ls'])).toBe('');
    expect((await rig.stk(['build', '--progress', 'plain'])).stderr).toContain('found cached layer app');
    expect(await rig.stk(['chroot', 'none'])).toMatchObject({ exitCode: 2 });
  });
});
