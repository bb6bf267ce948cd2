import { describe, expect, it } from 'vitest';
import { parseDocument } from 'yaml';
import { conflictError, describeConflicts, suggestEntries } from './conflict-report.ts';
import { compileGlob } from './glob.ts';
import type { MergeConflict } from './merge-result.ts';
import { formatRules, quotedRule, suggestRules } from './suggest-rules.ts';

const conflict = (path: string, more: Partial<MergeConflict> = {}): MergeConflict => ({
  path,
  driver: undefined,
  message: 'ssl and python changed it',
  remedies: ['last', 'first'],
  sides: [
    { name: 'ssl', did: 'changed the content' },
    { name: 'python', did: 'deleted it' },
  ],
  ...more,
});

describe('conflicts', () => {
  it('are told by kind, with what each side did', () => {
    const excerpt = '<<<<<<< ssl\na\u001b[31m\n=======\nb\n>>>>>>> python';
    const conflicts = [
      conflict('etc/motd', { driver: 'text', message: 'ssl and python changed the same lines', excerpt }),
      conflict('usr/bin/x'),
      conflict('etc/issue', { driver: 'text' }),
      conflict('var/lib/dpkg/status', {
        driver: 'dpkg',
        remedies: ['newer'],
        message: 'libssl3 is 1 in ssl and 2 in python',
      }),
    ];
    expect(`${describeConflicts(conflicts)}\n${suggestEntries(conflicts)}`).toMatchInlineSnapshot(`
      "text files:
        /etc/motd: ssl and python changed the same lines
            ssl: changed the content
            python: deleted it
            | <<<<<<< ssl
            | a�[31m
            | =======
            | b
            | >>>>>>> python
        /etc/issue: ssl and python changed it
            ssl: changed the content
            python: deleted it
      other files:
        /usr/bin/x: ssl and python changed it
            ssl: changed the content
            python: deleted it
      Debian packages:
        /var/lib/dpkg/status: libssl3 is 1 in ssl and 2 in python
            ssl: changed the content
            python: deleted it
      # python
      conflicts:
        /etc/motd: last
        /etc/issue: last
        /usr/bin/x: last
        /var/lib/dpkg/status: newer"
    `);
  });

  it('of one directory are settled by one rule, single ones first', () => {
    const many = ['a', 'b', 'c', 'd'].map(name => conflict(`usr/share/x/${name}`));
    const rules = suggestRules([...many, conflict('usr/share/x/e', { remedies: ['newer'] }), conflict('top')]);
    expect(formatRules(rules)).toBe(
      'conflicts:\n  /usr/share/x/e: newer\n  /top: last\n  "/usr/share/x/{a,b,c,d}": last',
    );
  });

  it('of one directory match themselves and nothing else', () => {
    const names = ['passwd,x', 'a{b}', 'c*', 'd', ...Array.from({ length: 200 }, (_, n) => `e${n}`)];
    const rules = suggestRules(names.map(name => conflict(`etc/${name}`)));
    const globs = rules.map(({ glob }) => compileGlob(glob)!);
    const matched = (path: string) => globs.filter(matches => matches(path)).length;
    expect(names.map(name => matched(`/etc/${name}`))).toEqual(names.map(() => 1));
    for (const path of ['/etc/passwd', '/etc/x', '/etc/ab', '/etc/cc', '/etc/e200']) expect(matched(path)).toBe(0);
    expect(Math.max(...rules.map(({ glob }) => glob.length))).toBeLessThan(1000);
  });

  it.each([
    'a b',
    'a: b',
    'x[1]*?',
    '{a,b}',
    'a\nb',
    'caf\xc3\xa9',
    'odd\xff',
    '"',
    "'",
    '#',
    'back\\slash',
    '!x',
    '\u007f',
    ...['\u009b31m', 'a\u202eb\u2066', '\u200f'].map(text => Buffer.from(text).toString('latin1')),
  ])('of %j are suggested as YAML and as an argument whose glob matches, without control characters', path => {
    const rules = suggestRules([conflict(path)]);
    const yaml = formatRules(rules);
    const { conflicts } = parseDocument(yaml).toJS() as { conflicts: Record<string, string> };
    const [[glob, resolution]] = Object.entries(conflicts) as [[string, string]];
    expect(resolution).toBe('last');
    expect(compileGlob(glob)!(`/${path}`)).toBe(true);
    const [, argument] = /^'([^']*)=last'$/.exec(quotedRule(rules[0]!))!;
    expect(compileGlob(argument!)!(`/${path}`)).toBe(true);
    expect(yaml.replaceAll('\n', '') + argument!).not.toMatch(/[\p{Cc}\u200f\u202e\u2066]/u);
  });

  it('between several images are settled in the entry whose rules are asked first', () => {
    const sides = (...names: readonly string[]) => ({ sides: names.map(name => ({ name, did: 'added a file' })) });
    const conflicts = [
      conflict('x', sides('a', 'c')),
      conflict('y', sides('a', 'b')),
      conflict('z', { ...sides('b', 'c'), remedies: ['newer'] }),
    ];
    expect(suggestEntries(conflicts)).toBe('# c\nconflicts:\n  /x: last\n  /z: newer\n# b\nconflicts:\n  /y: last');
    expect(conflictError(conflicts, 'app').hint).toContain(suggestEntries(conflicts));
  });

  it('without a remedy propose no rule, and say what else there is to do', () => {
    const conflicts = [conflict('f', { remedies: [] })];
    expect(suggestEntries(conflicts)).toBe('');
    expect(conflictError(conflicts, 'app').hint).toContain('apply them without each other');
    const some = conflictError([...conflicts, conflict('g')], 'app').hint;
    expect(some).toContain('/g: last');
    expect(some).toContain('apply them without each other');
    const packages = conflict('f', { remedies: [], excludes: true });
    expect(conflictError([packages], 'app').hint).toBeUndefined();
  });

  it('become one error of bounded length that holds the paths', () => {
    const many = Array.from({ length: 100_000 }, (_, index) => conflict(`d${index}/f`));
    const error = conflictError(many, 'app');
    expect(error.code).toBe('conflict');
    expect(error.message.length).toBeLessThan(20_000);
    expect(error.hint!.length).toBeLessThan(5_000);
    expect(error.message).toContain('and 99950 more');
    expect(error.facts).toMatchObject({ image: 'app', conflicts: 100_000, paths: expect.arrayContaining(['/d0/f']) });
  });
});
