import { expect, it } from 'vitest';
import { RecipeError } from '../core/diagnostics.ts';
import type { AbsPath } from '../core/paths.ts';
import { passEnvironment, passthroughPattern } from './passthrough.ts';
import { parseSubstitutionFile } from './substitution-file.ts';
import { builtInSubstitutions, parseSubstitution } from './substitutions.ts';

it.each([
  ['A=1', ['A', '1']],
  ['A=', ['A', '']],
  ['A=b=c', ['A', 'b=c']],
  ['a.b-c=1', ['a.b-c', '1']],
])('%s is a substitution', (text, expected) => expect(parseSubstitution(text)).toEqual(expected));

it.each(['', 'A', '=1', 'A B=1', 'A:b=1', '${A}=1'])('%j is none', text => {
  expect(() => parseSubstitution(text)).toThrow(expect.objectContaining({ code: 'usage' }));
});

it.each<[string, Record<string, string>]>([
  ['A: 1\nB: "x y"\nC:\nD: 010\nE: yes', { A: '1', B: 'x y', C: '', D: '010', E: 'yes' }],
  ['', {}],
])('a substitution file may hold %j', (text, expected) => {
  expect(Object.fromEntries(parseSubstitutionFile('/f', text))).toEqual(expected);
});

it.each(['- A', 'A: [1]', 'A B: 1', 'A: 1\nA: 2', '{', 'A: \0'])('a substitution file may not hold %j', text => {
  expect(() => parseSubstitutionFile('/f', text)).toThrow(RecipeError);
});

it('the built-in ones have the names of stacker and of stk', () => {
  const path = (text: string) => text as AbsPath;
  const directories = { rootfsDir: path('/r'), stkDir: path('/s'), ociDir: path('/o'), workDir: path('/w') };
  const values = builtInSubstitutions(directories, { os: 'linux', architecture: 'arm', variant: 'v6' });
  expect(values.get('STK_PLATFORM')).toBe('linux/arm/v6');
  expect(['OS', 'ARCH', 'VARIANT'].map(name => values.get(`STK_${name}`))).toEqual(['linux', 'arm', 'v6']);
  for (const prefix of ['STACKER', 'STK']) {
    expect(['ROOTFS', 'STACKER', 'OCI', 'WORK'].map(name => values.get(`${prefix}_${name}_DIR`))).toEqual([
      '/r',
      '/s',
      '/o',
      '/w',
    ]);
  }
});

it('passes variables whose whole name matches', () => {
  const env = {
    PT_K: 'v',
    XPT_K: 'n',
    PTX: 'n',
    TARGET: 't',
    HOME: '/h',
    HTTP_PROXY: 'p',
    TERM: 'xterm',
    UNSET: undefined,
  };
  expect(passEnvironment(['PT_.*', 'TARGET|HOM'], env)).toEqual({ PT_K: 'v', TARGET: 't' });
  expect(passEnvironment(undefined, env)).toEqual({ HTTP_PROXY: 'p', TERM: 'xterm' });
  expect(passthroughPattern('(?i)a.c')!.test('ABC')).toBe(true);
  expect(passthroughPattern('(')).toBeUndefined();
});
