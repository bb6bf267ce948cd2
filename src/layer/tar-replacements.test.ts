import { execFileSync } from 'node:child_process';
import { afterAll, describe, expect, it } from 'vitest';
import {
  convertTar,
  lowerDirectory,
  lowerOf,
  tarOf,
  temporaryDirectory,
  type EntrySketch,
} from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import { digestOf } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import type { LowerContent } from './lower-tree.ts';
import type { ConvertTarRequest } from './tar-to-squashfs.ts';

requires('root', 'tool:tar2sqfs', 'tool:unsquashfs', 'tool:getfattr');

const directory = temporaryDirectory();
const output = `${directory}/layer` as AbsPath;
afterAll(() => directory[Symbol.dispose]());

const convert = (bytes: Buffer, more: Partial<ConvertTarRequest> = {}) => convertTar(bytes, output, more);

const md5 = (text: string) => execFileSync('md5sum', { input: text }).toString().slice(0, 32);
const T = '@1000000000';
const ROOT = 'd 755 0:0 @0';

describe('an archive that names a path twice', () => {
  const f = (content: string) => `f 644 0:0 ${T} ${md5(content)}`;
  it.each<[string, EntrySketch[], Record<string, string>]>([
    [
      'the last file wins',
      [
        { path: 'f', content: 'one' },
        { path: 'g', content: 'g' },
        { path: './f', content: 'two' },
      ],
      { './f': f('two'), './g': f('g') },
    ],
    [
      'the last attributes of a directory win',
      [
        { path: 'd', type: 'directory', mode: 0o700 },
        { path: 'd/f', content: 'x' },
        { path: 'd', type: 'directory', uid: 9 },
      ],
      { './d': `d 755 9:0 ${T}`, './d/f': f('x') },
    ],
    [
      'a file replaces a directory and all in it',
      [
        { path: 'd/e/f', content: 'x' },
        { path: 'd', content: 'y' },
      ],
      { './d': f('y') },
    ],
    [
      'a directory replaces a file',
      [
        { path: 'd', content: 'y' },
        { path: 'd', type: 'directory' },
        { path: 'd/f', content: 'x' },
      ],
      { './d': `d 755 0:0 ${T}`, './d/f': f('x') },
    ],
    [
      'a hard link keeps the content that its target had',
      [
        { path: 'a', content: 'one' },
        { path: 'b', type: 'hardlink', linkPath: 'a' },
        { path: 'c', type: 'hardlink', linkPath: 'b' },
        { path: 'a', content: 'two' },
      ],
      { './a': f('two'), './b': f('one'), './c': `f 644 0:0 ${T} = ./b` },
    ],
    [
      'a hard link that comes twice is one',
      [
        { path: 'a', content: 'one' },
        { path: 'b', type: 'hardlink', linkPath: 'a' },
        { path: './b', type: 'hardlink', linkPath: 'a' },
      ],
      { './a': f('one'), './b': `f 644 0:0 ${T} = ./a` },
    ],
    [
      'a hard link replaces a file',
      [
        { path: 'a', content: 'one' },
        { path: 'b', content: 'two' },
        { path: 'b', type: 'hardlink', linkPath: 'a' },
      ],
      { './a': f('one'), './b': `f 644 0:0 ${T} = ./a` },
    ],
  ])('%s', async (_, entries, expected) => {
    const bytes = tarOf(...entries);
    const layer = await convert(bytes);
    expect(layer.tree).toEqual({ '.': ROOT, ...expected });
    expect(layer.diffId).toBe(digestOf(bytes));
  });
});

describe('lower layers', () => {
  const lower: LowerContent = lowerOf({
    tmp: lowerDirectory(0o1777),
    opt: lowerDirectory(0o700, 7),
    'opt/app': lowerDirectory(0o750, 8),
    usr: lowerDirectory(),
    'usr/lib': lowerDirectory(0o711),
    lib: { type: 'symlink', target: 'usr/lib' },
    loop: { type: 'symlink', target: 'loop' },
    file: { type: 'other' },
  });
  const x = `f 644 0:0 ${T} ${md5('x')}`;
  it.each<[string, EntrySketch[], Record<string, string>, boolean]>([
    [
      'give parents that are not in the archive their attributes',
      [{ path: 'opt/app/f', content: 'x' }],
      { './opt': 'd 700 7:7 @5', './opt/app': 'd 750 8:8 @5', './opt/app/f': x },
      true,
    ],
    [
      'say nothing of directories that are',
      [
        { path: 'tmp', type: 'directory', mode: 0o755 },
        { path: 'tmp/f', content: 'x' },
      ],
      { './tmp': `d 755 0:0 ${T}`, './tmp/f': x },
      false,
    ],
    [
      'lead on through their symlinks',
      [{ path: 'lib/f', content: 'x' }],
      { './usr': 'd 755 0:0 @5', './usr/lib': 'd 711 0:0 @5', './usr/lib/f': x },
      true,
    ],
    [
      'count for whiteouts too',
      [{ path: 'lib/.wh.f' }],
      { './usr': 'd 755 0:0 @5', './usr/lib': 'd 711 0:0 @5', './usr/lib/f': 'c 0 0:0 @0 0' },
      true,
    ],
    [
      'do not count below what the layer deletes',
      [{ path: '.wh.tmp' }, { path: 'tmp/f', content: 'x' }],
      { './tmp': `${ROOT} user.overlay.opaque=0x79`, './tmp/f': x },
      false,
    ],
    ['do not count for entries at the root', [{ path: 'f', content: 'x' }], { './f': x }, false],
  ])('%s', async (_, entries, expected, dependsOnLower) => {
    const layer = await convert(tarOf(...entries), { lower });
    expect(layer.tree).toEqual({ '.': ROOT, ...expected });
    expect(layer.dependsOnLower).toBe(dependsOnLower);
  });

  it('whose symlinks lead in circles are refused', () =>
    expect(convert(tarOf({ path: 'loop/f' }), { lower })).rejects.toMatchObject({ code: 'invalid-input' }));
});
