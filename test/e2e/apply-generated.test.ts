import { describe, expect, inject, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { inspectImage, type Settings } from '../rig/shell-image.ts';
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

describe('caches of applied Debian images', () => {
  it.each([
    ['is computed, and the same byte for byte', 'libm.so.6', 'libz.so.1'],
    ['is made by ldconfig itself where only the search path decides', 'libz.so.1', 'libz.so.1'],
  ])('the cache of libraries %s', async (_what, one, two) => {
    await using rig = await StkRig.open({ as: 'root' });
    await rig.write('stacker.yaml', {
      base: { from: { type: 'tar', url: inject('stk').debianBase! }, run: ['ldconfig'] },
      a: on('base', { run: addLibrary(one, '/opt/a') }),
      b: on('base', { run: addLibrary(two, '/opt/b') }),
      app: on('base', {
        apply: ['a', 'b'],
        run: [
          AS_LDCONFIG,
          'ldconfig -p | grep /opt/a/',
          'ldconfig -p | grep /opt/b/',
          'test ! -e /var/cache/ldconfig/aux-cache || ldconfig',
        ],
      }),
    });
    await rig.ok(['build', '--progress', 'plain']);
    expect((await inspectImage(rig, 'app')).layers.map(({ role }) => role)).toContain('merge');
  });
});
