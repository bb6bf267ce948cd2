import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shellSplit } from './shell-split.ts';

describe('splitting a command', () => {
  it.each<[string, string[]]>([
    ['', []],
    ['  a\tb\nc ', ['a', 'b', 'c']],
    [`a 'b c' "d e"f`, ['a', 'b c', 'd ef']],
    [`'' ""`, ['', '']],
    [`a\\ b \\"`, ['a b', '"']],
    [`"\\"\\\\\\$\\\`\\n"`, ['"\\$`\\n']],
    [`'\\n'`, ['\\n']],
    ['a\\\nb', ['ab']],
    ['"a\\\nb"', ['ab']],
    ['$HOME ${X:-y} $(date) `id`', ['$HOME', '${X:-y}', '$(date)', '`id`']],
    ['a;b | c && d > e *.c #x', ['a;b', '|', 'c', '&&', 'd', '>', 'e', '*.c', '#x']],
    ['é\u{1f600}', ['é\u{1f600}']],
  ])('%j', (text, words) => expect(shellSplit(text)).toEqual(words));

  it.each([
    [`a 'b`, 2],
    ['a "b', 2],
    ['"a\\', 0],
    ['a\\', 1],
  ])('refuses %j', (text, at) => expect(shellSplit(text)).toMatchObject({ at }));

  it('gives back every word that was quoted', () => {
    const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
    fc.assert(
      fc.property(fc.array(fc.string()), words => {
        expect(shellSplit(words.map(quoted).join(' '))).toEqual(words);
      }),
    );
  });
});
