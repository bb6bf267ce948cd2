import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { mergeAutomatic } from './dpkg-automatic.ts';
import { formatAlternatives, mergeAlternatives, parseAlternatives, type Alternatives } from './alternatives.ts';
import { mergeDebconf } from './debconf.ts';
import { parseDatabase, parseRecord, type PackageDatabase, type PackageRecord } from './dpkg-database.ts';
import { brokenReason, decidePackage } from './dpkg-decide.ts';
import { relationConflicts, sharedNameConflicts } from './dpkg-coherence.ts';
import { DIVERSIONS, mergeLineFile, mergeLines, mergeUnincorporated, STATOVERRIDE } from './dpkg-lines.ts';
import { dpkgFile } from './dpkg-paths.ts';
import { isDamaged } from '../packages/stanzas.ts';
import type { Outcome } from '../driver.ts';

const stanza = (name: string, version: string, more = '', status = 'install ok installed') =>
  `Package: ${name}\nStatus: ${status}\nArchitecture: amd64\nVersion: ${version}\n${more}`;

function record(text: string): PackageRecord {
  const parsed = parseRecord(text);
  if (isDamaged(parsed)) throw new Error(parsed.damage);
  return parsed;
}

const changes = (...texts: readonly (string | undefined)[]) =>
  texts.map((text, side) => ({
    side,
    name: `side${side}`,
    record: text === undefined ? undefined : record(text),
  }));

const textOf = (outcome: Outcome) => {
  expect(outcome.type).toBe('content');
  return outcome.type === 'content' ? Buffer.from(outcome.bytes).toString('latin1') : '';
};

describe('a database', () => {
  it.each([
    ['a cut line', 'Package: a\nStatus: install ok'],
    ['a cut stanza', 'Package: a\nStatus: install ok installed\nArchitecture: amd64\n'],
    ['no package', 'Status: install ok installed\nVersion: 1\n\n'],
    ['NUL bytes', `${stanza('a', '1')}\0\n\n`],
    ['a second stanza', `${stanza('a', '1')}\n${stanza('a', '2')}\n`],
    ['carriage returns', stanza('a', '1').replaceAll('\n', '\r\n')],
    ['a path for a name', `${stanza('../../etc', '1')}\n`],
    ['no known state', `${stanza('a', '1', '', 'install ok fine')}\n`],
  ])('with %s is damaged', (_what, text) => {
    expect(isDamaged(parseDatabase(text))).toBe(true);
  });

  it('is read in any form without a crash', () => {
    const piece = fc.constantFrom(
      'Package: a\n',
      'Status: install ok installed\n',
      '\n',
      ' x\n',
      ':',
      '\0',
      'Version: 1\n',
    );
    fc.assert(fc.property(fc.array(piece), pieces => void parseDatabase(pieces.join(''))));
  });
});

describe('one package', () => {
  it('in two versions is a conflict that names all', () => {
    const { conflict, record: guess } = decidePackage(
      undefined,
      changes(stanza('p', '1.9'), stanza('p', '1.10')),
      undefined,
    );
    expect(conflict?.message).toBe('p is 1.9 in side0 and 1.10 in side1');
    expect(conflict?.remedies[0]).toBe('newer');
    expect(guess?.version).toBe('1.10');
  });

  it.each([
    ['newer', 1, '1.10'],
    ['first', 0, '1.9'],
    ['last', 2, '1.10~rc1'],
  ] as const)('is decided by %s, with all of its files', (rule, owner, version) => {
    const versions = changes(stanza('p', '1.9'), stanza('p', '1.10'), stanza('p', '1.10~rc1'));
    const decision = decidePackage(undefined, versions, rule);
    expect(decision).toMatchObject({ owner, record: { version } });
    expect(decision.conflict).toBeUndefined();
  });

  it('that one removed and one changed is a conflict, and stays where the newer counts', () => {
    const before = record(stanza('p', '1'));
    const versions = changes(undefined, stanza('p', '2'));
    expect(decidePackage(before, versions, undefined).conflict?.message).toContain('was removed by side0');
    expect(decidePackage(before, versions, 'newer')).toMatchObject({ owner: 1, record: { version: '2' } });
  });

  it('in one version is merged field by field, unknown fields kept', () => {
    const before = stanza('p', '1', 'X-Other: o\n');
    const held = stanza('p', '1', 'X-Other: o\n', 'hold ok installed');
    const pending = stanza('p', '1', 'Triggers-Pending: t\nX-Other: o\n', 'install ok triggers-pending');
    const decision = decidePackage(record(before), changes(held, pending), undefined);
    expect(decision.conflict).toBeUndefined();
    expect(decision.record?.stanza).toContain('Status: hold ok triggers-pending\n');
    expect(decision.record?.stanza).toContain('X-Other: o\n');
  });

  it('in one version with two contents is a conflict', () => {
    const decision = decidePackage(
      undefined,
      changes(stanza('p', '1', 'Depends: a\n'), stanza('p', '1', 'Depends: b\n')),
      undefined,
    );
    expect(decision.conflict?.message).toContain('Depends');
  });

  it.each(['__proto__', 'constructor', 'toString'])('whose field %s differs is a conflict', field => {
    const decision = decidePackage(
      undefined,
      changes(stanza('p', '1', `${field}: 1\n`), stanza('p', '1', `${field}: 2\n`)),
      undefined,
    );
    expect(decision.conflict?.message).toContain(field);
  });

  it.each(['install ok half-installed', 'install ok unpacked', 'install reinstreq installed'])(
    '%s is reported',
    status => {
      const [change] = changes(stanza('p', '1', '', status));
      expect(brokenReason(change!, undefined)?.message).toContain('side0');
      expect(brokenReason(change!, 'last')).toBeUndefined();
    },
  );
});

describe('packages together', () => {
  const sides = (...texts: readonly string[]) =>
    texts.map((text, side) => {
      const records = parseDatabase(text);
      if (isDamaged(records)) throw new Error(records.damage);
      return { side, name: `side${side}`, records };
    });
  const all = (found: ReturnType<typeof sides>) => found.flatMap(({ records }) => [...records.values()]);

  it.each([
    [
      'a conflict',
      stanza('a', '1', 'Conflicts: mta\nProvides: mta\n'),
      stanza('b', '1', 'Conflicts: mta\nProvides: mta\n'),
      1,
    ],
    ['a break', stanza('a', '1', 'Breaks: b (<< 2)\n'), stanza('b', '1'), 1],
    ['an unmet dependency', stanza('a', '1', 'Depends: c\n'), stanza('b', '1', 'Depends: a | x\n'), 0],
    ['nothing', stanza('a', '1', 'Breaks: b (<< 1)\n'), stanza('b', '1'), 0],
  ])('show %s that no side has alone', (_what, left, right, count) => {
    const found = sides(left, right);
    expect(relationConflicts(all(found), found)).toHaveLength(count);
  });

  it('of two architectures need to allow it', () => {
    const found = sides(stanza('a', '1'), stanza('a', '1').replace('amd64', 'i386'));
    expect(sharedNameConflicts(all(found), found)).toHaveLength(1);
    const same = sides(
      stanza('a', '1', 'Multi-Arch: same\n'),
      stanza('a', '1', 'Multi-Arch: same\n').replace('amd64', 'i386'),
    );
    expect(sharedNameConflicts(all(same), same)).toHaveLength(0);
  });
});

describe('files of lines', () => {
  const files = (ancestor: string, ...texts: readonly string[]) => ({
    path: 'var/lib/dpkg/x',
    ancestor,
    sides: texts.map((text, side) => ({ name: `side${side}`, text })),
  });

  it('unite diversions, and report one path diverted twice', () => {
    const [a, b] = ['/a\n/a.x\np\n', '/b\n/b.x\nq\n'];
    expect(textOf(mergeLines(files('', a, b), DIVERSIONS))).toBe(a + b);
    expect(mergeLines(files('', a, '/a\n/a.y\nq\n'), DIVERSIONS).type).toBe('conflict');
    expect(mergeLines(files('', a, '/a\n/a.y\n'), DIVERSIONS).type).toBe('conflict');
    expect(textOf(mergeLines(files(a, '', a + b), DIVERSIONS))).toBe(b);
  });

  it('unite overrides, interests and waiting triggers', () => {
    expect(textOf(mergeLines(files('', 'root mail 2755 /x y\n', 'root root 755 /z\n'), STATOVERRIDE))).toContain(
      '/x y\n',
    );
    expect(textOf(mergeLineFile(files('a\n', 'a\nb\n', 'c\n'), false))).toBe('b\nc\n');
    expect(mergeLineFile(files('a\n', '', ''), true).type).toBe('drop');
    expect(textOf(mergeUnincorporated(files('', 't p\n', 't q\n')))).toBe('t p q\n');
  });

  it('unite owners of debconf questions, and report answers that clash', () => {
    const item = (owners: string, value: string) => `Name: q\nTemplate: q\nValue: ${value}\nOwners: ${owners}\n\n`;
    const other = 'Name: a\nTemplate: a\n\n';
    const config = (...texts: readonly string[]) => ({ ...files('', ...texts), path: 'var/cache/debconf/config.dat' });
    expect(textOf(mergeDebconf(config(item('p', '1'), other + item('r', '1'))))).toBe(other + item('p, r', '1'));
    expect(mergeDebconf(config(item('p', '1'), item('p', '2'))).type).toBe('conflict');
    const odd = (value: string) => `Name: q\n__proto__: ${value}\nConstructor: ${value}\n\n`;
    expect(mergeDebconf(config(odd('1'), odd('2'))).type).toBe('conflict');
    const templates = { ...config(odd('1'), odd('2')), path: 'var/cache/debconf/templates.dat' };
    expect(textOf(mergeDebconf(templates))).toBe(odd('2'));
  });

  it('forget that a package is automatic where one side asked for it', () => {
    const auto = 'Package: ssl\nArchitecture: amd64\nAuto-Installed: 1\n\n';
    const other = auto.replace('ssl', 'dep');
    const [asked, pulled] = [`${stanza('ssl', '1')}\n${stanza('dep', '1')}\n`, `${stanza('ssl', '1')}\n`];
    const none = { name: 'base', text: '', packages: new Map() };
    const side = (text: string, status: string) => ({
      name: 's',
      text,
      packages: parseDatabase(status) as PackageDatabase,
    });
    const merged = mergeAutomatic({ path: 'x', ancestor: none, sides: [side(other, asked), side(auto, pulled)] });
    expect(textOf(merged)).toBe(other);
  });
});

describe('alternatives', () => {
  const group = (mode: string, ...choices: readonly [string, number][]) => {
    const text = `${mode}\n/usr/bin/ed\ned.1\n/man/ed.1\n\n${choices.map(([file, priority]) => `${file}\n${priority}\n${file}.1\n`).join('')}\n`;
    return parseAlternatives(text) as Alternatives;
  };

  it('are written as they are read', () => {
    const text = 'auto\n/usr/bin/ed\ned.1\n/man/ed.1\n\n/bin/a\n5\n/man/a.1\n/bin/b\n-1\n\n\n';
    expect(formatAlternatives(parseAlternatives(text) as Alternatives)).toBe(text);
  });

  it('of chkconfig have families and services, no order and no blank line at the end', () => {
    const text =
      'auto\n/usr/bin/java\njre\n/usr/lib/jvm/jre\n\n/b/java\n@java.x86_64@1700 jexec\n/b\n/a/java\n1800\n\n';
    const read = parseAlternatives(text) as Alternatives;
    expect(read.style).toBe('chkconfig');
    expect(formatAlternatives(read)).toBe(text);
    const none = { group: undefined, current: undefined };
    const only = (choice: string) => parseAlternatives(`auto\n/usr/bin/java\n\n${choice}`) as Alternatives;
    const one = { name: 'a', group: only('/z/java\n@j@10\n'), current: '/z/java' };
    const two = { name: 'b', group: only('/a/java\n10\n'), current: '/a/java' };
    const merged = mergeAlternatives('java', none, [one, two]);
    if (typeof merged === 'string') throw new Error(merged);
    // The first of equal ones, as chkconfig reads the file.
    expect(merged.current).toBe('/z/java');
    expect(formatAlternatives(merged.group!)).toBe('auto\n/usr/bin/java\n\n/z/java\n@j@10\n/a/java\n10\n');
  });

  it('have the choices of all; the highest priority or a selection by hand wins', () => {
    const none = { group: undefined, current: undefined };
    const a = { name: 'a', group: group('auto', ['/bin/a', 10]), current: '/bin/a' };
    const b = { name: 'b', group: group('auto', ['/bin/b', 20]), current: '/bin/b' };
    expect(mergeAlternatives('ed', none, [a, b])).toMatchObject({ current: '/bin/b', group: { mode: 'auto' } });
    const byHand = { ...a, group: group('manual', ['/bin/a', 10]) };
    expect(mergeAlternatives('ed', none, [byHand, b])).toMatchObject({ current: '/bin/a', group: { mode: 'manual' } });
    const also = { ...b, group: group('manual', ['/bin/b', 20]) };
    expect(typeof mergeAlternatives('ed', none, [byHand, also])).toBe('string');
  });

  it.each(['', 'auto\n', 'odd\n/x\n\n\n', 'auto\n/x\n\n/bin/a\nmany\n\n', 'auto\n/x\ns\n/s\n\n/bin/a\n5'])(
    'damaged: %j',
    text => {
      expect(typeof parseAlternatives(text)).toBe('string');
    },
  );
});

it.each([
  ['var/lib/dpkg/status', 'status'],
  ['var/lib/dpkg/status-old', 'backup'],
  ['var/lib/alternatives/java', 'alternatives'],
  ['var/lib/dpkg/info/libc6:amd64.list', 'info'],
  ['etc/alternatives/awk', 'alternative-link'],
  ['var/cache/debconf/config.dat', 'debconf'],
  ['var/lib/dpkg/triggers/ldconfig', 'lines'],
  ['etc/passwd', undefined],
])('%s is %s', (path, kind) => expect(dpkgFile(path)?.kind).toBe(kind));
