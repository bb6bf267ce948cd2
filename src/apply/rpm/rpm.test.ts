import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requires } from '../../../test/rig/gates.ts';
import { fakeContext, mergePath, outcomeText } from '../../../test/rig/merge-versions.ts';
import { RPM_DATABASE, RpmRoots } from '../../../test/rig/rpm-roots.ts';
import type { ConflictResolution } from '../../recipe/model.ts';
import type { Outcome } from '../driver.ts';
import { rpm } from './rpm.ts';

requires('root', 'tool:rpmbuild');

let roots: RpmRoots;
const packages = new Map<string, string>();

beforeAll(async () => {
  roots = await RpmRoots.open();
  const build = async (key: string, spec: Parameters<RpmRoots['build']>[0]) =>
    packages.set(key, await roots.build(spec));
  await build('base', { name: 'base', files: ['usr/share/base/a'] });
  await build('old', { name: 'old', files: ['usr/share/old/a'] });
  await build('ssl', {
    name: 'ssl',
    version: '1.9',
    directories: ['usr/share/ssl', 'usr/share/nine'],
    files: ['usr/bin/ssl', 'usr/share/ssl/nine'],
    preamble: ['Requires: base'],
  });
  await build('ssl2', { name: 'ssl', version: '1.10', files: ['usr/bin/ssl', 'usr/share/ssl/ten'] });
  await build('py', {
    name: 'py',
    epoch: 2,
    files: ['usr/bin/py', 'usr/share/base/py'],
    preamble: ['Recommends: ssl', 'Provides: python(abi) = 3'],
  });
  await build('extra', { name: 'extra', files: ['usr/bin/extra'] });
  await roots.root('base');
  await roots.install('base', packages.get('base')!, packages.get('old')!);
});

afterAll(() => roots?.[Symbol.asyncDispose]());

async function side(name: string, ...keys: readonly string[]): Promise<Buffer> {
  await roots.root(name, 'base');
  await roots.install(name, ...keys.map(key => packages.get(key)!));
  return roots.database(name);
}

async function merge(sides: Readonly<Record<string, Uint8Array>>, rule?: ConflictResolution): Promise<Outcome> {
  const trees = Object.fromEntries(Object.entries(sides).map(([name, bytes]) => [name, { [RPM_DATABASE]: bytes }]));
  const ancestor = { [RPM_DATABASE]: await roots.database('base') };
  return mergePath(rpm, RPM_DATABASE, { ancestor, sides: trees, ...(rule && { rules: { [RPM_DATABASE]: rule } }) });
}

function contentOf(outcome: Outcome): Uint8Array {
  if (outcome.type !== 'content') throw new Error(outcomeText(outcome));
  return outcome.bytes;
}

describe('rpm', () => {
  it('records what two sides installed as if it had been installed one after the other', async () => {
    const ssl = await side('one-ssl', 'ssl');
    const py = await side('one-py', 'py');
    await side('one-both', 'ssl');
    await roots.install('one-both', packages.get('py')!);
    await roots.merged('one-merged', ['one-ssl', 'one-py'], contentOf(await merge({ ssl, py })));
    const expected = await roots.listing('one-both');
    expect(await roots.listing('one-merged')).toBe(expected);
    expect(await roots.rpm('one-merged', '-q', '--whatrequires', 'base')).toBe('ssl-1.9-1.noarch\n');
    expect(await roots.rpm('one-merged', '-qf', '/usr/share/base/py')).toBe('py-1-1.noarch\n');
    expect(await roots.rpm('one-merged', '-Va', '--nodeps')).toBe('');
  });

  it('leaves a database that rpm goes on working with', async () => {
    const ssl = await side('two-ssl', 'ssl');
    const py = await side('two-py', 'py');
    await roots.merged('two-merged', ['two-ssl', 'two-py'], contentOf(await merge({ ssl, py })));
    await roots.install('two-merged', packages.get('extra')!);
    await roots.rpm('two-merged', '-e', '--nodeps', 'ssl');
    await roots.install('two-merged', packages.get('ssl2')!);
    await roots.rpm('two-merged', '-e', '--nodeps', 'py');
    await roots.rpm('two-merged', '--rebuilddb');
    const left = (await roots.rpm('two-merged', '-qa')).trim().split('\n').toSorted();
    expect(left).toEqual(['base-1-1.noarch', 'extra-1-1.noarch', 'old-1-1.noarch', 'ssl-1.10-1.noarch']);
  });

  it('has the same packages whoever comes first', async () => {
    const ssl = await side('three-ssl', 'ssl');
    const py = await side('three-py', 'py', 'extra');
    await roots.merged('three-a', ['three-ssl', 'three-py'], contentOf(await merge({ ssl, py })));
    await roots.merged('three-b', ['three-py', 'three-ssl'], contentOf(await merge({ py, ssl })));
    const sorted = async (root: string) => (await roots.listing(root)).split('\n').toSorted();
    expect(await sorted('three-a')).toEqual(await sorted('three-b'));
  });

  it('respects removals', async () => {
    const ssl = await side('four-ssl', 'ssl');
    await roots.root('four-less', 'base');
    await roots.rpm('four-less', '-e', 'old');
    const merged = contentOf(await merge({ ssl, less: await roots.database('four-less') }));
    await roots.merged('four-merged', ['four-ssl'], merged);
    expect((await roots.rpm('four-merged', '-qa')).trim().split('\n').toSorted()).toEqual([
      'base-1-1.noarch',
      'ssl-1.9-1.noarch',
    ]);
  });

  it('takes one package of two sides that both installed it', async () => {
    const ssl = await side('five-ssl', 'ssl');
    await roots.root('five-py', 'base');
    await roots.install('five-py', packages.get('py')!);
    await roots.install('five-py', packages.get('ssl')!);
    const merged = contentOf(await merge({ ssl, py: await roots.database('five-py') }));
    await roots.merged('five-merged', ['five-py'], merged);
    expect((await roots.rpm('five-merged', '-qa')).trim().split('\n')).toHaveLength(4);
  });

  it('reports a package in two versions, and takes the newer with its files where it may', async () => {
    const one = await side('six-one', 'ssl');
    const two = await side('six-two', 'ssl2', 'py');
    const trees = { ten: { [RPM_DATABASE]: two }, nine: { [RPM_DATABASE]: one } };
    const ancestor = { [RPM_DATABASE]: await roots.database('base') };
    const survey = await rpm.survey!(fakeContext({ ancestor, sides: trees }));
    expect(survey.owners.size).toBe(0);
    expect(survey.conflicts).toMatchObject([{ path: RPM_DATABASE, sides: [0, 1], reason: { remedies: ['newer'] } }]);
    expect(survey.conflicts[0]?.reason.message).toBe('the package ssl.noarch is 1.10-1 in ten and 1.9-1 in nine');
    const allowed = await rpm.survey!(fakeContext({ ancestor, sides: trees, rules: { [RPM_DATABASE]: 'newer' } }));
    expect(allowed.conflicts).toEqual([]);
    expect([...allowed.owners]).toEqual(
      ['usr/bin/ssl', 'usr/share/ssl/ten', 'usr/share/ssl/nine'].map(file => [file, 0]),
    );
    await roots.merged('six-merged', ['six-two'], contentOf(await merge({ ten: two, nine: one }, 'newer')));
    expect(await roots.rpm('six-merged', '-q', 'ssl')).toBe('ssl-1.10-1.noarch\n');
    expect(await roots.rpm('six-merged', '-Va', '--nodeps')).toBe('');
  });
});

describe('a damaged rpm database', () => {
  const NONE = { [RPM_DATABASE]: 'SQLite format 3\0'.padEnd(4096, '\0') };

  it.each(['var/lib/rpm/Packages', 'usr/lib/sysimage/rpm/Packages.db'])(
    '%s is of a format that is not merged',
    async path => {
      const outcome = await mergePath(rpm, path, { ancestor: {}, sides: { a: { [path]: '1' }, b: { [path]: '2' } } });
      expect(outcomeText(outcome)).toMatch(/^conflict: .*cannot be merged/);
    },
  );

  it('with a log that was not written back is refused', async () => {
    const ssl = await side('log-ssl', 'ssl');
    const py = await side('log-py', 'py');
    const merge = {
      ancestor: { [RPM_DATABASE]: await roots.database('base') },
      sides: { ssl: { [RPM_DATABASE]: ssl }, py: { [RPM_DATABASE]: py, [`${RPM_DATABASE}-wal`]: 'x' } },
    };
    expect(outcomeText(await mergePath(rpm, RPM_DATABASE, merge))).toMatch(/of py is not complete/);
  });

  it.each([
    ['empty', () => ''],
    ['text', () => 'hello'],
    ['a header alone', () => NONE[RPM_DATABASE]],
    ['cut', (good: Buffer) => good.subarray(0, good.length / 2)],
    ['cut to a page', (good: Buffer) => good.subarray(0, 4096)],
    [
      'zeros behind the schema',
      (good: Buffer) => Buffer.concat([good.subarray(0, 20480), Buffer.alloc(good.length - 20480)]),
    ],
  ])('is a conflict that says whose: %s', async (_what, damage) => {
    const good = await roots.database('base');
    const bad = Buffer.from(damage(good) as string, 'latin1');
    const outcome = await merge({ bad, py: await roots.database('one-py') });
    expect(outcomeText(outcome)).toMatch(/^conflict: .* of bad is damaged/);
  });

  it('never throws and never hangs, whatever byte is wrong', async () => {
    const good = await roots.database('one-ssl');
    const py = await roots.database('one-py');
    for (let at = 0; at < good.length - 4; at += 10_007) {
      const bad = Buffer.from(good);
      bad.fill(0xa5, at, at + 4);
      expect(['content', 'conflict']).toContain((await merge({ bad, py })).type);
    }
  });
});
