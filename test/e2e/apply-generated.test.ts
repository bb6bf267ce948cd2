import { describe, expect, inject, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import type { Settings } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'overlay', 'fuse', 'debian-base');

const on = (tag: string, settings: Settings): Settings => ({ from: { type: 'built', tag }, ...settings });

/** Gives a library of the base another place, and tells ldconfig. */
const addLibrary = (library: string, directory: string) => [
  `mkdir -p ${directory}`,
  `cp /lib/*/${library} ${directory}/`,
  `echo ${directory} > /etc/ld.so.conf.d/${directory.replaceAll('/', '-')}.conf`,
  'ldconfig',
];

const AS_LDCONFIG = 'ldconfig -C /tmp/cache && cmp /tmp/cache /etc/ld.so.cache && rm /tmp/cache';

describe('the cache of libraries of applied Debian images', () => {
  it('is that of ldconfig byte for byte, computed or made by ldconfig where the search path decides', async () => {
    await using rig = await StkRig.open({ as: 'root' });
    const check = (...directories: readonly string[]) => [
      'test ! -e /var/cache/ldconfig/aux-cache',
      AS_LDCONFIG,
      ...directories.map(directory => `ldconfig -p | grep ${directory}/`),
    ];
    await rig.write('stacker.yaml', {
      base: { from: { type: 'tar', url: inject('stk').debianBase! }, run: ['ldconfig'] },
      m: on('base', { run: addLibrary('libm.so.6', '/opt/m') }),
      z: on('base', { run: addLibrary('libz.so.1', '/opt/z') }),
      again: on('base', { run: addLibrary('libz.so.1', '/opt/again') }),
      computed: on('base', { apply: ['m', 'z'], run: check('/opt/m', '/opt/z') }),
      made: on('base', { apply: ['again', 'z'], run: check('/opt/again', '/opt/z') }),
    });
    const { exitCode, stderr } = await rig.stk(['build', '--progress', 'plain']);
    expect(stderr).toMatch(/made │ run \S*\/ldconfig/);
    expect(stderr).not.toMatch(/computed │ run \S*\/ldconfig/);
    expect(exitCode).toBe(0);
  });
});
