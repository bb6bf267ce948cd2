import { mkdir, symlink } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { script } from '../rig/changed-images.ts';
import { requires } from '../rig/gates.ts';
import { SHELL } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

describe('name resolution in a container', () => {
  requires('root', 'userns', 'overlay', 'fuse', 'tool:busybox');

  /** What images have in the place of resolv.conf: a link and where it leads, or a directory. */
  const KINDS = {
    relative: '../run/systemd/resolve/stub-resolv.conf',
    absolute: '/nowhere/resolv.conf',
    loop: 'resolv.conf',
    file: '/etc/motd',
    directory: undefined,
  } as const;

  it.each<Actor>(['root', 'user'])('is the host’s, whatever the image has in its place, as %s', async actor => {
    await using rig = await StkRig.open({ as: actor });
    const images: Record<string, object> = {
      shell: SHELL,
      none: { from: { type: 'built', tag: 'shell' } },
    };
    for (const [kind, target] of Object.entries(KINDS)) {
      await mkdir(rig.path(kind, 'etc'), { recursive: true });
      if (target === undefined) await mkdir(rig.path(kind, 'etc/resolv.conf'));
      else await symlink(target, rig.path(kind, 'etc/resolv.conf'));
      images[kind] = { from: { type: 'built', tag: 'shell' }, overlay_dirs: [kind] };
    }
    await rig.write('stacker.yaml', images);
    await rig.ok(['build']);
    const host = await script(rig, actor, 'cat /etc/resolv.conf');
    for (const image of ['none', ...Object.keys(KINDS)]) {
      for (const more of [[], ['--read-only']]) {
        const said = await rig.ok(['run', ...more, image, 'cat', '/etc/resolv.conf', '/etc/hosts']);
        expect([image, ...more, said.startsWith(host), said.includes('localhost')]).toEqual([
          image,
          ...more,
          true,
          true,
        ]);
      }
    }
    // Nothing of it is the container's own.
    await rig.ok(['run', '--name', 'kept', '--keep', 'relative', 'touch', '/new']);
    await rig.ok(['commit', 'kept', 'committed']);
    expect(await rig.ok(['ls', '-l', 'committed:/etc'])).toBe(await rig.ok(['ls', '-l', 'relative:/etc']));
    const modes = ['stat', '-c', '%a %u %g', '/', '/etc'];
    expect(await rig.ok(['run', 'none', ...modes])).toBe(await rig.ok(['run', '--network', 'none', 'none', ...modes]));
  });
});
