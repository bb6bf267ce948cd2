import { expect, it } from 'vitest';
import { Layers, merge, sides, type LayerContent } from '../../../test/fixtures/merge-layers.ts';
import { dpkg } from './dpkg.ts';

const layers = new Layers();

const diversions = (...entries: readonly (readonly [string, string, string])[]) => ({
  'var/lib/dpkg/diversions': entries.map(entry => `${entry.join('\n')}\n`).join(''),
});

const merged = async (base: LayerContent, one: LayerContent, two: LayerContent) =>
  merge(await layers.applied([base], sides([one], [two])), [dpkg]);

const DASH = ['/bin/sh', '/bin/sh.distrib', 'dash'] as const;
const FILE = { 'bin/sh.distrib': 'old' };

it('reports a file where another side diverts, with both sides', async () => {
  const { conflicts } = await merged({ bin: { directory: 'plain' } }, diversions(DASH), { 'bin/sh': 'bash' });
  expect(conflicts).toEqual(['bin/sh: ssl diverts /bin/sh to /bin/sh.distrib, and python has a file there']);
});

it('finds the file behind a symlink on the way to it', async () => {
  const base = { bin: { link: 'usr/bin' }, 'usr/bin/x': '' };
  const { conflicts } = await merged(base, { 'usr/bin/sh': 'bash' }, diversions(DASH));
  expect(conflicts).toEqual(['usr/bin/sh: python diverts /bin/sh to /bin/sh.distrib, and ssl has a file there']);
});

it.each<[string, LayerContent, LayerContent, LayerContent]>([
  [
    'diverted before',
    { 'etc/x': '', ...diversions(DASH) },
    { ...diversions(DASH, ['/a', '/b', 'p']) },
    { 'bin/sh': '' },
  ],
  ['in the base', { 'bin/sh': 'old' }, { ...diversions(DASH), 'bin/sh': 'new' }, { 'usr/x': '' }],
  ['that both divert', { 'etc/x': '' }, diversions(DASH), { ...diversions(DASH), ...FILE, 'bin/sh': 'bash' }],
  ['that was moved away', { 'etc/x': '' }, { ...diversions(DASH), ...FILE, 'bin/sh': 'a' }, { 'bin/sh': 'a' }],
  ['after which the list is cut off', { 'etc/x': '' }, { 'var/lib/dpkg/diversions': '/bin/sh\n' }, { 'bin/sh': 'a' }],
  ['that nobody has', { 'etc/x': '' }, diversions(DASH), { 'bin/bash': 'bash' }],
])('has nothing against a file %s', async (_, base, one, two) => {
  expect((await merged(base, one, two)).conflicts).toEqual([]);
});
