import { describe, expect, it } from 'vitest';
import { mergePath, outcomeText, type TreeFiles } from '../../../test/rig/merge-versions.ts';
import { logs } from './logs.ts';

async function merge(
  path: string,
  ancestor: TreeFiles[string],
  ...sides: readonly TreeFiles[string][]
): Promise<string> {
  const trees = Object.fromEntries(sides.map((file, i) => [`side${i}`, { [path]: file }]));
  return outcomeText(await mergePath(logs, path, { ancestor: { [path]: ancestor }, sides: trees }));
}

const record = (fill: string) => fill.repeat(384);

describe('logs', () => {
  it.each<[string, string, string | undefined, readonly (string | undefined)[], string]>([
    ['what each side appended', 'var/log/dpkg.log', 'a\n', ['a\nb\n', 'a\nc\n'], 'a\nb\nc\n'],
    ['logs without an ancestor', 'var/log/apt/history.log', undefined, ['b\n', 'c\n'], 'b\nc\n'],
    ['equal additions once', 'var/log/x', 'a\n', ['a\nb\n', 'a\nb\nc\n', 'a\nb\n'], 'a\nb\nb\nc\n'],
    ['a missing newline', 'var/log/x', '', ['b', 'c'], 'b\nc\n'],
    ['an emptied log', 'var/log/x', 'a\n', ['', 'a\nb\n'], 'b\n'],
    ['a rotated log', 'var/log/x', 'a\n', ['new\n', 'a\nb\n'], 'new\nb\n'],
    [
      'records',
      'var/log/wtmp',
      record('a'),
      [record('a') + record('b'), record('a') + record('c')],
      record('a') + record('b') + record('c'),
    ],
    ['half a record', 'var/log/btmp', '', ['xy', 'x'], 'take 1'],
    ['binary logs', 'var/log/some.bin', undefined, ['\0a', '\0b'], 'take 1'],
    ['a table', 'var/log/lastlog', undefined, ['a', 'b'], 'take 1'],
    ['a deleted log is kept', 'var/log/x', 'a\n', [undefined, 'a\nb\n'], 'take 1'],
    ['a deleted cache is deleted', 'var/cache/apt/archives/lock', 'a\n', [undefined, 'b'], 'drop'],
    ['a cache', 'var/lib/apt/lists/x_Packages', 'a\n', ['b', 'c'], 'take 1'],
    ['binary caches of apt', 'var/cache/apt/pkgcache.bin', 'a\n', ['b', 'c'], 'drop'],
    [
      'shells',
      'etc/shells',
      '/bin/sh\n',
      ['/bin/sh\n/bin/zsh\n', '/bin/sh\n/bin/fish\n'],
      '/bin/sh\n/bin/zsh\n/bin/fish\n',
    ],
    [
      'certificates deselected',
      'etc/ca-certificates.conf',
      '# c\na.crt\nb.crt\n',
      ['# c\n!a.crt\nb.crt\n', '# c\na.crt\nb.crt\nc.crt\n'],
      '# c\nb.crt\n!a.crt\nc.crt\n',
    ],
    ['locales', 'etc/locale.gen', '# a\n# b\n', ['a\n# b\n', '# a\nb\n'], 'a\nb\n'],
    ['something that runs', 'run/lock/x', undefined, ['1', '2'], 'take 1'],
  ])('merges %s', async (_what, path, ancestor, sides, expected) => {
    expect(await merge(path, ancestor, ...sides)).toBe(expected);
  });

  it('takes the last of files that are no logs at all', async () => {
    expect(await merge('var/log/x', undefined, { symlink: '/dev/stdout' }, 'a\n')).toBe('take 1');
  });

  it.each([
    'etc/passwd',
    'var/log',
    'var/cache/apt',
    'var/logs/x',
    'etc/shells.d/x',
    'var/lib/apt/extended_states',
    'var/cache/debconf/config.dat',
    'runner',
  ])('leaves %s to others', path => expect(logs.claims(path)).toBe(false));
});
