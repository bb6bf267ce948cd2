import { expect, inject, it } from 'vitest';
import { openAppRig, script } from '../rig/changed-images.ts';
import { requires } from '../rig/gates.ts';
import type { Actor } from '../rig/users.ts';

requires('root', 'userns', 'overlay', 'fuse', 'kernel-squashfs');

it.each<[Actor, string]>([
  ['root', 'unshare --mount'],
  ['user', 'unshare --user --map-root-user --mount'],
])('an upper directory of %s serves one mount at a time, and no commit meanwhile', async (actor, namespaces) => {
  await using rig = await openAppRig(actor);
  const { node, cli } = inject('stk');
  const elsewhere = (text: string) =>
    script(rig, actor, `${namespaces} sh -c 'stk() { ${node} ${cli} "$@"; }; ${text}'`);
  await rig.ok(['mount', 'app', 'm', '--upper', 'up/er']);
  for (const upper of ['up/er', 'up/er/etc', 'up']) {
    const refused = await rig.stk(['mount', 'app', 'n', '--upper', upper]);
    expect(refused).toMatchObject({ exitCode: 12, stderr: expect.stringContaining('upper directory') as string });
    const commit = await rig.stk(['commit', upper, 'x', '--base', 'app']);
    expect(commit).toMatchObject({ exitCode: 12, stderr: expect.stringContaining('in use') as string });
  }
  // In a user namespace of one's own it cannot be seen whether the outer ones live.
  if (actor === 'root') expect(await elsewhere('stk mount app n --upper up/er; echo $?')).toBe('12');
  expect(await elsewhere('stk commit up/er x; echo $?')).toBe('12');
  await rig.ok(['umount', 'm']);
  expect(await elsewhere('stk mount app n --upper up/er >&2; echo x > n/there; stk umount n >&2; echo $?')).toBe('0');
  expect(await script(rig, actor, 'cat up/er/there')).toBe('x');
});
