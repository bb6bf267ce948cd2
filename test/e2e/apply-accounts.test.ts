import { describe, expect, inject, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import type { Settings } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { differences, listImage } from '../rig/tree-listing.ts';

requires('root', 'overlay', 'fuse', 'debian-base');

const CONFLICT = 12;
const on = (tag: string, settings: Settings): Settings => ({ from: { type: 'built', tag }, ...settings });

const add = (user: string, id: number) => [
  `useradd --system --uid ${id} --user-group --groups audio,video ${user}`,
  `usermod --add-subuids ${id}00000-${id}65535 --add-subgids ${id}00000-${id}65535 ${user}`,
];

/** The files that the tools change; their backups hold what was before the last command. */
const OTHERS = /^(?!etc\/(?:passwd|group|shadow|gshadow|subuid|subgid)$)/;

describe('accounts of applied images', () => {
  it('are what the tools would have written in turn, and a conflict where one id has two users', async () => {
    await using rig = await StkRig.open({ as: 'root' });
    const base = { from: { type: 'tar', url: inject('stk').debianBase! } };
    await rig.write('stacker.yaml', {
      base,
      a: on('base', { run: add('alice', 601) }),
      b: on('base', { run: add('bob', 602) }),
      both: on('base', { run: [...add('alice', 601), ...add('bob', 602)] }),
      plain: on('base', { apply: ['a', 'b'] }),
      app: on('plain', { run: 'pwck -r || test $? = 2; grpck -r; id bob | grep audio; userdel alice; useradd carol' }),
    });
    await rig.ok(['build']);
    const found = await listImage(rig.path('oci'), 'plain');
    expect(differences(found, await listImage(rig.path('oci'), 'both'), OTHERS)).toEqual([]);
    expect(found.has('etc/subuid')).toBe(true);

    await rig.write('stacker.yaml', {
      base,
      a: on('base', { run: 'useradd alice' }),
      b: on('base', { run: 'useradd bob' }),
      app: on('base', { apply: ['a', 'b'] }),
    });
    const { exitCode, stderr } = await rig.stk(['build']);
    expect(exitCode).toBe(CONFLICT);
    expect(stderr).toContain('the uid 1000 is alice in a and bob in b');
    expect(stderr).toContain('the gid 1000 is alice in a and bob in b');
    expect(stderr).toContain('the ranges alice:100000:65536 in a and bob:100000:65536 in b overlap');
  });
});
