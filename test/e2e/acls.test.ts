import { expect, it } from 'vitest';
import { script } from '../rig/changed-images.ts';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('overlay', 'root', 'tool:setfattr');

/** user::rw-, user:1001:rwx, group::r--, mask::rwx, other::r--: the mode is 0674. */
const ACCESS = '0x0200000001000600ffffffff02000700e903000004000400ffffffff10000700ffffffff20000400ffffffff';
/** The same with group::---, so that the group's bits are only the mask's. */
const STRICT = ACCESS.replace('04000400', '04000000');
/** user::rwx, user:1001:rwx, group::---, mask::rwx, other::r-x: what is made below has nothing for its group. */
const DEFAULT = '0x0200000001000700ffffffff02000700e903000004000000ffffffff10000700ffffffff20000500ffffffff';
const access = (file: string, value = ACCESS) => `setfattr -n system.posix_acl_access -v ${value} ${file}`;
const inherited = (directory: string) => `setfattr -n system.posix_acl_default -v ${DEFAULT} ${directory}`;

const listing = async (rig: StkRig, image: string) =>
  Object.fromEntries(
    (await rig.ok(['ls', '-lR', image]))
      .trim()
      .split('\n')
      .map(line => [line.split(' ').pop()!, line.slice(0, 10)]),
  );

it('layers have the owning group’s permissions in place of ACLs, and builds say so', async () => {
  await using rig = await StkRig.open();
  await script(rig, 'root', `mkdir od; for f in od/f in; do echo x > $f; ${access('$f')}; done`);
  await rig.write('stacker.yaml', {
    shell: { from: 'scratch', imports: [{ path: '/bin/busybox', dest: '/bin/busybox', mode: '0755' }] },
    app: {
      from: { type: 'built', tag: 'shell' },
      overlay_dirs: ['od'],
      imports: [{ path: 'in', dest: '/in' }, 'in'],
      run: '#!/bin/busybox sh\n/bin/busybox cp -p /stacker/imports/in /copied',
    },
  });
  const { stderr } = await rig.stk(['build']);
  expect(stderr).toMatch(/1 file lost the POSIX ACL, .*\/od\/f;/);
  expect(stderr).toMatch(/1 file lost the POSIX ACL, .*\/in;/);
  const expected = { f: '-rw-r--r--', in: '-rw-r--r--', copied: '-rw-r--r--' };
  expect(await listing(rig, 'app:/')).toMatchObject(expected);
  // Nothing but the ACL changes here: size, times and mode are what they were.
  await script(rig, 'root', `${access('od/f', STRICT)}; ${access('in', STRICT)}`);
  await rig.ok(['build']);
  const stricter = { f: '-rw----r--', in: '-rw----r--', copied: '-rw----r--' };
  expect(await listing(rig, 'app:/')).toMatchObject(stricter);
});

it('default ACLs of directories in which stk works reach no layer', async () => {
  await using rig = await StkRig.open();
  await script(rig, 'root', inherited('.'));
  await rig.write('stacker.yaml', {
    app: {
      from: 'scratch',
      imports: [
        { path: '/bin/busybox', dest: '/bin/busybox', mode: '0755' },
        { content: 'x', dest: '/inline' },
      ],
      run: '#!/bin/busybox sh\n/bin/busybox mkdir /d\n/bin/busybox touch /d/stepped /bin/busybox',
    },
  });
  const { exitCode, stderr } = await rig.stk(['build']);
  expect([exitCode, stderr]).toEqual([0, expect.not.stringContaining('POSIX ACL')]);
  const built = { inline: '-rw-r--r--', d: 'drwxr-xr-x', 'd/stepped': '-rw-r--r--', 'bin/busybox': '-rwxr-xr-x' };
  expect(await listing(rig, 'app:/')).toEqual({ ...built, bin: 'drwxr-xr-x' });
  await rig.ok(['run', '--name', 'c', '--keep', 'app', '/bin/busybox', 'touch', '/contained', '/inline']);
  await rig.ok(['commit', 'c', 'kept']);
  expect(await listing(rig, 'kept:/')).toMatchObject({ ...built, contained: '-rw-r--r--' });
  await script(rig, 'root', 'mkdir mnt');
  await rig.ok(['mount', 'app', rig.path('mnt'), '--upper', rig.path('upper')]);
  await script(rig, 'root', `umask 022; touch mnt/made mnt/inline; echo x > mnt/named; ${access('mnt/named')}`);
  await rig.ok(['umount', rig.path('mnt')]);
  const commit = await rig.stk(['commit', rig.path('upper'), 'mounted']);
  expect([commit.exitCode, commit.stderr]).toEqual([0, expect.stringMatching(/1 file lost the POSIX ACL.*: \/named;/)]);
  expect(await listing(rig, 'mounted:/')).toMatchObject({ ...built, made: '-rw-r--r--', named: '-rw-r--r--' });
  // What is committed stays as it is.
  expect(await script(rig, 'root', 'getfattr -n system.posix_acl_access -e hex upper/named')).toContain(ACCESS);
});
