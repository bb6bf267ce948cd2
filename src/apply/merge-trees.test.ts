import { describe, expect, it } from 'vitest';
import { Layers, merge, shownTree, sides, type LayerContent } from '../../test/fixtures/merge-layers.ts';
import type { MergeProblem } from './merge-problem.ts';

const layers = new Layers();

const directory = { directory: 'plain' } as const;
const opaque = { directory: 'opaque' } as const;
const binary = (text: string) => `${text}\0`;

describe('a merge needs no layer', () => {
  it.each<[string, LayerContent, readonly (readonly LayerContent[])[]]>([
    ['where sides do not meet', { a: 'a' }, [[{ 'x/one': '1' }], [{ 'y/two': '2' }]]],
    [
      'where both made the same file at other times',
      {},
      [[{ f: { file: 'f', mtime: 1 } }], [{ f: { file: 'f', mtime: 9 } }]],
    ],
    ['where what lies on top is what was changed', { f: 'old' }, [[{ f: { file: 'old', mtime: 7 } }], [{ f: 'new' }]]],
    ['where both deleted it', { 'd/f': 'f' }, [[{ 'd/f': null }], [{ d: null }, { d: directory }]]],
    ['where a side has no layer', { f: 'f' }, [[], [{ f: 'g' }]]],
    ['where both have the same layer', { f: 'f' }, [[{ f: binary('x') }], [{ f: binary('x') }]]],
  ])('%s', async (_, base, own) => {
    const { entries, conflicts } = await merge(await layers.applied([base], sides(...own)));
    expect({ entries, conflicts }).toEqual({ entries: [], conflicts: [] });
  });
});

describe('a merge layer holds', () => {
  it.each<[string, LayerContent, readonly (readonly LayerContent[])[], readonly string[]]>([
    [
      'a change that an unchanged copy hides',
      { f: 'old' },
      [[{ f: 'new' }], [{ f: { file: 'old', mtime: 7 } }]],
      ['node f'],
    ],
    ['a deletion that a copy hides', { f: 'old' }, [[{ f: null }], [{ f: { file: 'old', mtime: 7 } }]], ['delete f']],
    [
      'what an opaque directory hides of a neighbour',
      {},
      [[{ 'd/one': '1', 'd/e/f': '2' }], [{ d: opaque, 'd/two': '2' }]],
      ['node d/e', 'node d/e/f', 'node d/one'],
    ],
    [
      'nothing that an opaque directory deletes of the base',
      { 'd/base': 'b' },
      [[{ 'd/one': '1' }], [{ d: opaque, 'd/two': '2' }]],
      ['node d/one'],
    ],
    ['what a whiteout of nothing hides', {}, [[{ 'd/one': '1' }], [{ d: null }]], ['node d', 'node d/one']],
    ['modes of a directory', { 'd/x': '' }, [[{ d: { ...directory, mode: 0o700 } }], [{ 'd/y': '' }]], ['node d']],
    [
      'attributes of one side and content of the other',
      { f: binary('old') },
      [[{ f: { file: binary('old'), mode: 0o4755 } }], [{ f: binary('new') }]],
      ['merged f'],
    ],
    ['lines of both', { f: 'a\nb\nc\n' }, [[{ f: 'A\nb\nc\n' }], [{ f: 'a\nb\nC' }]], ['merged f']],
    ['a symlink', { l: { link: 'a' } }, [[{ l: { link: 'b' } }], [{ l: { link: 'a', mtime: 7 } }]], ['node l']],
    [
      'a device',
      { d: { device: [1, 3] } },
      [[{ d: { device: [1, 5] } }], [{ d: { device: [1, 3], mtime: 7 } }]],
      ['node d'],
    ],
    [
      'names that are no text',
      { 'a\nb/\xff': 'old' },
      [[{ 'a\nb/\xff': 'new' }], [{ 'a\nb/\xff': { file: 'old', mtime: 7 } }]],
      ['node a\nb/\xff'],
    ],
  ])('%s', async (_, base, own, entries) => {
    const problem = await layers.applied([base], sides(...own));
    const merged = await merge(problem);
    expect({ entries: merged.entries, conflicts: merged.conflicts }).toEqual({ entries, conflicts: [] });
    const backwards = await layers.applied([base], sides(...own).toReversed());
    expect((await merge(backwards)).tree).toEqual(merged.tree);
  });

  it('each extended attribute as whoever changed it has it', async () => {
    const file = (xattrs: Record<string, string>) => ({ f: { file: 'f', xattrs } });
    const problem = await layers.applied(
      [file({ 'user.a': '1', 'user.b': '1', 'user.c': '1' })],
      sides(
        [file({ 'user.a': '2', 'user.b': '1' })],
        [file({ 'user.a': '1', 'user.b': '3', 'user.c': '1', 'user.d': '4' })],
      ),
    );
    expect((await merge(problem)).tree).toEqual({ f: 'file 644 0:0 user.a=2 user.b=3 user.d=4 "f"' });
  });

  it('what an update needs where a layer that is gone has been hiding the base', async () => {
    const base = { 'd/a': 'a' };
    const old = { d: opaque, 'd/old': 'o' };
    const next = { 'd/next': 'n' };
    const run = { 'd/run': 'r', 'd/a': null };
    const problem: MergeProblem = {
      ancestor: await layers.stack([base, old]),
      sides: [
        { name: 'new', tree: await layers.stack([base, next]), layers: await layers.readers([old, next]), rules: [] },
        { name: 'app', tree: await layers.stack([base, old, run]), layers: await layers.readers([run]), rules: [] },
      ],
      plain: await layers.stack([base, next, run]),
    };
    expect(await merge(problem)).toMatchObject({
      entries: ['node d/a'],
      conflicts: [],
      tree: { 'd/a': 'file 644 0:0 "a"', 'd/next': 'file 644 0:0 "n"', 'd/run': 'file 644 0:0 "r"' },
    });
  });
});

describe('a clash', () => {
  const clashes: readonly [string, LayerContent, readonly (readonly LayerContent[])[], string][] = [
    ['two binaries', { f: binary('a') }, [[{ f: binary('b') }], [{ f: binary('c') }]], 'f: ssl and python changed it'],
    ['deleted and changed', { f: 'a' }, [[{ f: null }], [{ f: 'c' }]], 'f: ssl deleted it, python changed the file'],
    ['the same lines', { f: 'a\n' }, [[{ f: 'b\n' }], [{ f: 'c\n' }]], 'f: ssl and python changed the same lines'],
    ['two new texts', {}, [[{ f: 'b\n' }], [{ f: 'c\n' }]], 'f: ssl and python changed the same lines'],
    ['file and directory', {}, [[{ d: 'f' }], [{ 'd/x': 'c' }]], 'd: ssl has a file, python has a directory'],
    [
      'links',
      { l: { link: 'a' } },
      [[{ l: { link: 'b' } }], [{ l: { link: 'c' } }]],
      'l: ssl changed the symlink to b',
    ],
    [
      'modes',
      { f: 'a' },
      [[{ f: { file: 'a', mode: 0o600 } }], [{ f: { file: 'a', mode: 0o640 } }]],
      'f: attributes clash: mode: 0600 in ssl, 0640 in python',
    ],
    [
      'a directory deleted under new files',
      { 'd/a': 'a' },
      [[{ d: null }], [{ 'd/e/f': 'c' }]],
      'd: ssl deleted the directory in which python changed /d/e',
    ],
    [
      'a directory deleted under a changed file',
      { 'd/a': 'a' },
      [[{ d: null }], [{ 'd/a': 'c' }]],
      'd: ssl deleted the directory in which python changed /d/a',
    ],
    [
      'a directory replaced under new files',
      { 'd/a': 'a', 'e/b': 'b' },
      [[{ d: { link: 'e' } }], [{ 'd/f': 'c' }]],
      'd: ssl replaced the directory in which python changed /d/f',
    ],
  ];

  it.each(clashes)('of %s is one conflict', async (_, base, own, message) => {
    const { conflicts } = await merge(await layers.applied([base], sides(...own)));
    expect(conflicts).toEqual([expect.stringContaining(message)]);
  });

  it.each(clashes)('of %s is settled by first and by last', async (_, base, own) => {
    for (const [rule, winner] of [
      ['first', 0],
      ['last', 1],
    ] as const) {
      const ruled = sides(...own).map(side => ({ ...side, rules: { '/**': rule } }));
      const problem = await layers.applied([base], ruled);
      const { '': _root, ...wanted } = await shownTree(problem.sides[winner]!.tree);
      const { tree, settled } = await merge(problem);
      const path = Object.keys(own[0]![0]!)[0]!;
      const below = (all: Record<string, string>) =>
        Object.fromEntries(Object.entries(all).filter(([at]) => at === path || at.startsWith(`${path}/`)));
      expect(below(tree)).toEqual(below(wanted));
      expect(settled).toContainEqual(expect.stringMatching(/: rule ssl python$/));
    }
  });

  it('of many paths is told in order, all at once', async () => {
    const all = (text: string) =>
      Object.fromEntries(['b', 'a/x', 'a-b', 'a'].map(name => [`d/${name}/f`, binary(text)]));
    const { conflicts } = await merge(await layers.applied([all('0')], sides([all('1')], [all('2')])));
    expect(conflicts.map(text => text.split(':')[0])).toEqual(['d/a-b/f', 'd/a/f', 'd/a/x/f', 'd/b/f']);
  });

  it('says what each side did', async () => {
    const problem = await layers.applied(
      [{ f: 'a', g: 'a' }],
      sides([{ f: { file: 'bb', mode: 0o600, uid: 7 }, g: null }], [{ f: 'c\0', g: { link: 'x' } }]),
    );
    const { result } = await merge(problem);
    expect(result.conflicts.map(each => each.sides)).toEqual([
      [
        { name: 'ssl', did: 'changed the mode from 0644 to 0600, the owner from 0:0 to 7:0, the content' },
        { name: 'python', did: 'changed the content' },
      ],
      [
        { name: 'ssl', did: 'deleted it' },
        { name: 'python', did: 'replaced the file by a symlink' },
      ],
    ]);
  });
});
