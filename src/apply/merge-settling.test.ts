import { describe, expect, it } from 'vitest';
import { Layers, merge, sides, type AppliedSide } from '../../test/fixtures/merge-layers.ts';
import type { MergeDriver, Outcome, Survey } from './driver.ts';
import { mergeTrees } from './merge-trees.ts';

const layers = new Layers();

const binary = (text: string) => `${text}\0`;

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
        {
          etc: { directory: 'opaque' } as const,
          'etc/shared': 'same',
          [`etc/own${index}`]: 'o',
          'etc/hosts': { file: 'h', mtime: index },
        },
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
