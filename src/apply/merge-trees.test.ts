import { describe, expect, it } from 'vitest';
import {
  Layers,
  shownTree,
  withMergeLayer,
  type AppliedSide,
  type LayerContent,
} from '../../test/fixtures/merge-layers.ts';
import type { MergeDriver, Outcome, Survey } from './driver.ts';
import type { MergeProblem } from './merge-problem.ts';
import { mergeTrees } from './merge-trees.ts';

const layers = new Layers();

/** Merges and shows what the plain stack and the merge layer make together, without the root. */
async function merge(problem: MergeProblem, drivers: readonly MergeDriver[] = []) {
  const result = await mergeTrees(problem, { drivers });
  const onTop = result.conflicts.length > 0 ? undefined : await withMergeLayer(problem, result);
  const { '': _root, ...tree } = await shownTree(onTop?.stack ?? problem.plain);
  return {
    tree,
    entries: result.entries.map(({ type, path }) => `${type} ${path}`),
    settled: result.settled.map(({ path, driver, sides }) => `${path}: ${driver} ${sides.join(' ')}`),
    conflicts: result.conflicts.map(({ path, message }) => `${path}: ${message}`),
    result,
  };
}

function sides(...own: readonly (readonly LayerContent[])[]): AppliedSide[] {
  return own.map((contents, index) => ({ name: ['ssl', 'python', 'app'][index]!, layers: contents }));
}

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

describe('a rule', () => {
  const clash = { base: { 'etc/f': binary('a') }, one: { 'etc/f': binary('b') }, two: { 'etc/f': binary('c') } };
  async function ruled(...rules: readonly AppliedSide['rules'][]) {
    const own = sides([clash.one], [clash.two]).map((side, index) => ({ ...side, rules: rules[index] ?? {} }));
    const { tree, conflicts } = await merge(await layers.applied([clash.base], own));
    return conflicts[0] ?? tree['etc/f']!.slice(-8, -7);
  }

  it.each<[string, readonly AppliedSide['rules'][], string]>([
    ['of the one applied last is asked first', [{ '/etc/f': 'last' }, { '/etc/f': 'first' }], 'b'],
    ['is looked for among all that take part', [{ '/etc/*': 'first' }, { '/usr/**': 'last' }], 'b'],
    ['that comes first decides', [{}, { '/etc/*': 'first', '/etc/f': 'last' }], 'b'],
    ['matches below', [{}, { '/**': 'last' }], 'c'],
    ['matches names in braces', [{}, { '/{etc,usr}/[a-f]': 'last' }], 'c'],
    ['may ask for an error', [{}, { '/etc/f': 'error' }], 'etc/f: a rule of the recipe asks for an error'],
  ])('%s', async (_, rules, wanted) => {
    expect(await ruled(...rules)).toBe(wanted);
  });

  it.each<[string, Record<string, 'last'>]>([
    ['empty', { '': 'last' }],
    ['huge', { [`/${'a'.repeat(2000)}`]: 'last' }],
    ['with many braces', { [`/${'{a,aa}'.repeat(9)}`]: 'last' }],
  ])('whose glob is %s is refused', async (_, rules) => {
    await expect(ruled({}, rules)).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('newer takes the younger of two files and tells where it cannot', async () => {
    const at = (mtime: number, text: string) => [{ f: { file: binary(text), mtime } }];
    const run = async (one: number, two: number) => {
      const own = sides(at(one, 'b'), at(two, 'c')).map(side => ({ ...side, rules: { '/f': 'newer' as const } }));
      const { tree, conflicts } = await merge(await layers.applied([{ f: binary('a') }], own));
      return conflicts[0] ?? tree['f'];
    };
    expect(await run(9, 5)).toContain('"b');
    expect(await run(5, 9)).toContain('"c');
    expect(await run(5, 5)).toContain('at the same time');
  });

  it('merge unites lines also of files with NUL bytes', async () => {
    const own = sides([{ f: 'A\0\nb\nc' }], [{ f: 'a\0\nb\nC' }]).map(side => ({
      ...side,
      rules: { '/f': 'merge' as const },
    }));
    const { tree } = await merge(await layers.applied([{ f: 'a\0\nb\nc' }], own));
    expect(tree['f']).toContain(JSON.stringify('A\0\nb\nC'));
  });
});

describe('a driver', () => {
  const fake = (outcome: Outcome, survey?: Survey): MergeDriver => ({
    name: 'logs',
    claims: path => path.startsWith('log'),
    merge: async () => outcome,
    ...(survey ? { survey: async () => survey } : {}),
  });
  const problem = () =>
    layers.applied(
      [{ log: 'a\n', f: '1' }],
      sides([{ log: 'b\n', f: binary('2') }], [{ log: { file: 'c\n', mode: 0o600 } }]),
    );

  it.each<[string, Outcome, Partial<Awaited<ReturnType<typeof merge>>>]>([
    ['takes a side', { type: 'take', side: 0 }, { entries: ['node log'], settled: ['log: logs ssl python'] }],
    ['drops', { type: 'drop' }, { entries: ['delete log'], settled: ['log: logs ssl python'] }],
    [
      'makes content, with attributes merged',
      { type: 'content', bytes: Buffer.from('d\n') },
      { entries: ['merged log'], tree: { f: 'file 644 0:0 "2\\u0000"', log: 'file 600 0:0 "d\\n"' } },
    ],
    [
      'asks for a program to be run',
      { type: 'regenerate', command: ['/bin/make'] },
      { entries: [], settled: ['log: logs ssl python'] },
    ],
    ['cannot tell', { type: 'conflict', conflict: { message: 'no', remedies: ['last'] } }, { conflicts: ['log: no'] }],
  ])('%s', async (_, outcome, wanted) => {
    const merged = await merge(await problem(), [fake(outcome)]);
    expect(merged).toMatchObject(wanted);
    if (outcome.type === 'regenerate') {
      expect(merged.result.regenerate).toEqual([{ command: ['/bin/make'], paths: ['log'] }]);
    }
  });

  it('gives paths to sides that need not have touched them', async () => {
    const owners = new Map([
      ['only/one', 1],
      ['log', 0],
      ['base', 1],
      ['gone', 0],
    ]);
    const survey = { owners, conflicts: [] };
    const own = sides([{ 'only/one': '1', log: 'b\n', base: '2' }], [{ log: 'c\n', gone: 'g' }]);
    const made = await layers.applied([{ log: 'a\n', base: '1' }], own);
    const { entries, tree } = await merge(made, [fake({ type: 'drop' }, survey)]);
    expect(entries).toEqual(['node base', 'delete gone', 'node log', 'delete only/one']);
    expect(tree).toEqual({ base: 'file 644 0:0 "1"', log: 'file 644 0:0 "b\\n"', only: 'directory 755 0:0 ""' });
  });

  it('has its own conflicts told once', async () => {
    const reason = { message: 'versions differ', remedies: ['newer'] } as const;
    const survey = { owners: new Map(), conflicts: [{ path: 'log', sides: [0, 1], reason }] };
    const { conflicts } = await merge(await problem(), [fake({ type: 'conflict', conflict: reason }, survey)]);
    expect(conflicts).toEqual(['log: versions differ']);
  });
});

describe('a merge of very much', () => {
  it('takes 300 sides', async () => {
    const own = Array.from({ length: 300 }, (_, index) => ({
      name: `side${index}`,
      layers: [
        { etc: opaque, 'etc/shared': 'same', [`etc/own${index}`]: 'o', 'etc/hosts': { file: 'h', mtime: index } },
      ],
    }));
    const { entries, tree, conflicts } = await merge(await layers.applied([{ 'etc/hosts': 'old' }], own));
    expect(conflicts).toEqual([]);
    expect(entries).toHaveLength(299);
    expect(Object.keys(tree)).toHaveLength(303);
  }, 120_000);

  it('never goes into what one side alone names', async () => {
    const deep = (name: string) =>
      Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`usr/${name}/${i % 40}/${i}`, '']));
    const problem = await layers.applied([{}], sides([deep('one')], [deep('two')]));
    const listed: string[] = [];
    for (const {
      name,
      layers: [reader],
    } of problem.sides) {
      const list = reader!.listRuns.bind(reader);
      reader!.listRuns = (inode, signal) => (listed.push(name), list(inode, signal));
    }
    expect((await merge(problem)).entries).toEqual([]);
    expect(listed.filter(name => name === 'ssl').length).toBeLessThan(200);
    const before = listed.length;
    await mergeTrees(problem, { drivers: [] });
    expect(listed.length - before).toBe(4);
  });

  it('ends when it is told to', async () => {
    const controller = new AbortController();
    controller.abort();
    const problem = await layers.applied([{ f: 'a' }], sides([{ f: 'b' }], [{ f: 'c' }]));
    await expect(mergeTrees(problem, { signal: controller.signal })).rejects.toMatchObject({ code: 'interrupted' });
  });
});
