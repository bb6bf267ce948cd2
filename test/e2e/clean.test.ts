import { mkdir, readdir } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { openAppRig, script } from '../rig/changed-images.ts';
import { requires } from '../rig/gates.ts';
import type { Actor } from '../rig/users.ts';

requires('root', 'userns', 'overlay', 'fuse', 'tool:busybox', 'tool:bwrap');

it.each<Actor>(['root', 'user'])(
  'removes what mounts and containers of %s left, and nothing that is kept',
  async actor => {
    await using rig = await openAppRig(actor);
    const refused = async (text: RegExp) => {
      const { exitCode, stderr } = await rig.stk(['clean']);
      expect(stderr).toMatch(text);
      expect(exitCode).toBe(12);
    };
    await rig.ok(['mount', 'app', 'm', '--rw']);
    await refused(/in use by a mount/);
    await script(rig, actor, 'echo x > m/new; cat m/new m/etc/file');
    await rig.ok(['umount', 'm']);
    await rig.ok(['run', '--keep', '--name', 'work', 'app', '/usr/bin/busybox', 'touch', '/kept']);
    await refused(/kept: work\n.*stk rm work/);
    await rig.ok(['rm', 'work']);
    await rig.ok(['clean']);
    expect(await readdir(rig.directory)).not.toContain('.stk');
    await mkdir(rig.path('.stk/other'), { recursive: true });
    await refused(/other, which stk did not make/);
  },
);
