import { describe, expect, it } from 'vitest';
import { script } from '../rig/changed-images.ts';
import { requires } from '../rig/gates.ts';
import { SHELL } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

requires('root', 'userns', 'overlay', 'fuse', 'tool:busybox');

describe('a work directory on a filesystem that is mounted noexec', () => {
  it.each<Actor>(['root', 'user'])('runs scripts and imported programs as %s', async actor => {
    await using rig = await StkRig.open({ as: actor });
    await script(rig, actor, 'mkdir nx');
    await script(rig, 'root', 'mount -t tmpfs -o noexec,nosuid,nodev,mode=0777 none nx');
    try {
      await script(
        rig,
        actor,
        'mkdir nx/programs; printf "#!/bin/sh\\necho said\\n" > nx/programs/say; cp nx/programs/say nx/say; chmod 755 nx/say nx/programs/say',
      );
      await rig.write('nx/stacker.yaml', {
        shell: SHELL,
        app: {
          from: { type: 'built', tag: 'shell' },
          imports: ['say', 'programs'],
          run: '#!/bin/sh\nset -e\n/stacker/imports/say > /one\n/stacker/imports/programs/say > /two',
        },
      });
      await rig.ok(['build'], { cwd: rig.path('nx') });
      const said = await rig.ok(['run', 'app', 'cat', '/one', '/two'], { cwd: rig.path('nx') });
      expect(said).toBe('said\nsaid\n');
    } finally {
      await script(rig, 'root', 'umount nx');
    }
  });
});

it('says why a script could not be started', async () => {
  await using rig = await StkRig.open();
  await rig.write('stacker.yaml', {
    shell: SHELL,
    large: { from: { type: 'built', tag: 'shell' }, build_env: { LARGE: 'x'.repeat(140_000) }, run: '#!/bin/sh\n:' },
    none: { from: { type: 'built', tag: 'shell' }, run: '#!/no/such/shell\n:' },
  });
  const hint = async (image: string) =>
    (await rig.stk(['build', image])).stderr.split('\n').findLast(line => line.startsWith('hint:'));
  expect(await hint('large')).toMatch(/too large/);
  expect(await hint('none')).toMatch(/was not found/);
});
