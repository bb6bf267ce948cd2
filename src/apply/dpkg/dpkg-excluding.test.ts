import { describe, expect, it } from 'vitest';
import { Layers, merge, sides, type LayerContent } from '../../../test/fixtures/merge-layers.ts';
import { suggestRules } from '../suggest-rules.ts';
import { dpkg } from './dpkg.ts';

const layers = new Layers();

interface Package {
  readonly name: string;
  readonly version?: string;
  readonly fields?: string;
  readonly files?: Readonly<Record<string, string>>;
}

/** A tree with these packages besides the base's. */
function tree(...packages: readonly Package[]): LayerContent {
  const content: Record<string, string> = {};
  const stanzas = [{ name: 'base', version: '1' }, ...packages].map(
    ({ name, version = '1', fields = '' }: Package) =>
      `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${version}\n${fields}\n`,
  );
  content['var/lib/dpkg/status'] = stanzas.join('');
  for (const { name, files = {} } of packages) {
    Object.assign(content, files);
    content[`var/lib/dpkg/info/${name}.list`] = Object.keys(files)
      .map(path => `/${path}\n`)
      .join('');
  }
  return content;
}

async function merged(...own: readonly (readonly Package[])[]) {
  const problem = await layers.applied([tree()], sides(...own.map(packages => [tree(...packages)])));
  const found = await merge(problem, [dpkg]);
  return { ...found, rules: suggestRules(found.result.conflicts) };
}

const MTA = 'Provides: mail-transport-agent\nConflicts: mail-transport-agent\n';
const sendmail = (text: string) => ({ 'usr/sbin/sendmail': text, 'etc/aliases': text });

describe('packages that cannot be installed together', () => {
  it.each<[string, Package, Package, string]>([
    [
      'by what both provide',
      { name: 'postfix', fields: MTA, files: sendmail('postfix\0') },
      { name: 'exim4', fields: MTA, files: sendmail('exim\0') },
      'postfix 1 of ssl conflicts with mail-transport-agent, which exim4 1 of python provides',
    ],
    [
      'by name',
      { name: 'a', fields: 'Conflicts: b\n', files: { f: 'a\0' } },
      { name: 'b', files: { f: 'b\0' } },
      'a 1 of ssl conflicts with b, and so with b 1 of python',
    ],
    [
      'by version',
      { name: 'a' },
      { name: 'b', fields: 'Breaks: a (<< 2)\n' },
      'b 1 of python breaks a (<< 2), and so with a 1 of ssl',
    ],
    [
      'because both have a file',
      { name: 'a', files: { f: 'a\0', g: 'a\0' } },
      { name: 'b', files: { f: 'b\0', g: 'b\0' } },
      'a 1 of ssl and b 1 of python both have /f and 1 more, and neither replaces the other',
    ],
  ])('%s are one conflict, which no rule settles', async (_, one, two, message) => {
    const { conflicts, rules } = await merged([one], [two]);
    expect(conflicts).toHaveLength(1);
    expect(conflicts[0]).toContain(message);
    expect(rules).toEqual([]);
  });

  it('are none where the file is the same, or one replaces the other', async () => {
    const [a, b] = [
      { name: 'a', files: { f: '1\0' } },
      { name: 'b', files: { f: '2\0' } },
    ];
    expect((await merged([a], [{ ...b, files: a.files }])).conflicts).toEqual([]);
    const replacing = { ...b, fields: 'Replaces: a\n' };
    for (const order of [
      [a, replacing],
      [replacing, a],
    ]) {
      const { conflicts, tree: shown } = await merged([order[0]!], [order[1]!]);
      expect(conflicts).toEqual([]);
      expect(shown['f']).toContain('"2');
    }
    const tooOld = { ...b, fields: 'Replaces: a (<< 1)\n' };
    expect((await merged([a], [tooOld])).conflicts).toHaveLength(1);
    const virtual = { ...b, fields: 'Replaces: letters\n' };
    expect((await merged([{ ...a, fields: 'Provides: letters\n' }], [virtual])).conflicts).toEqual([]);
  });

  it('are a conflict also where a package that another needs is removed', async () => {
    const problem = await layers.applied(
      [tree({ name: 'lib' })],
      sides(
        [{ ...tree(), 'var/lib/dpkg/info/lib.list': null }],
        [tree({ name: 'lib' }, { name: 'tool', fields: 'Depends: lib\n' })],
      ),
    );
    const found = await merge(problem, [dpkg]);
    expect(found.conflicts[0]).toContain('tool 1 of python depends on lib, which the merged packages do not satisfy');
    expect(suggestRules(found.result.conflicts)).toEqual([]);
  });
});

describe('files of the database that contradict the tree if one side has them whole', () => {
  it.each<[string, LayerContent, LayerContent]>([
    ['diversions', ...both('diversions', '/f\n/g\na\n', '/f\n/h\nb\n')],
    ['overrides', ...both('statoverride', 'root root 755 /f\n', 'root root 700 /f\n')],
    ['a database that is damaged', ...both('status', 'Package: x\n', 'Status: x\n')],
    ['a file where there is a directory', ...both('diversions', '/f\n/g\na\n', { link: 'x' })],
  ])('have no rule proposed: %s', async (_, one, two) => {
    const found = await merge(await layers.applied([{ 'etc/x': '' }], sides([one], [two])), [dpkg]);
    expect(found.conflicts).not.toEqual([]);
    expect(suggestRules(found.result.conflicts)).toEqual([]);
  });

  function both(
    name: string,
    one: LayerContent[string],
    two: LayerContent[string],
  ): [one: LayerContent, two: LayerContent] {
    return [{ [`var/lib/dpkg/${name}`]: one }, { [`var/lib/dpkg/${name}`]: two }];
  }
});
