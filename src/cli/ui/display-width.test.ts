import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { displayWidth, expandTabs, fitWidth, padWidth } from './display-width.ts';

describe('displayWidth', () => {
  it.each([
    ['', 0],
    ['abc', 3],
    ['äöü', 3],
    ['日本語', 6],
    ['한국어', 6],
    ['ｆｕｌｌ', 8],
    ['ﾊﾝｶｸ', 4],
    ['e\u0301', 1],
    ['\u200b', 0],
    ['\u{1f600}', 2],
    ['\u{1f469}\u200d\u{1f680}', 2],
    ['\u{1f1e9}\u{1f1ea}', 2],
    ['\u2764\ufe0f', 2],
    ['\u00a9', 1],
    ['━─│✓✗…⠋', 7],
  ])('of %j is %i', (text, width) => expect(displayWidth(text)).toBe(width));
});

describe('fitWidth', () => {
  it.each([
    ['abcdef', 6, 'end', 'abcdef'],
    ['abcdef', 5, 'end', 'abcd…'],
    ['abcdef', 5, 'start', '…cdef'],
    ['abcdef', 1, 'end', '…'],
    ['abcdef', 1, 'start', '…'],
    ['abcdef', 0, 'end', ''],
    ['日本語', 6, 'end', '日本語'],
    ['日本語', 5, 'end', '日本…'],
    ['日本語', 4, 'end', '日…'],
    ['日本語', 4, 'start', '…語'],
  ] as const)('%s in %i cells, cut at the %3$s', (text, width, cut, expected) => {
    expect(fitWidth(text, width, cut)).toBe(expected);
  });

  it('never exceeds the width and keeps what fits', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '日', '\u0301', '\u{1f600}', '…', ' ') });
    fc.assert(
      fc.property(text, fc.nat(30), fc.constantFrom('end', 'start'), (line, width, cut) => {
        const fitted = fitWidth(line, width, cut);
        expect(displayWidth(fitted)).toBeLessThanOrEqual(width);
        if (displayWidth(line) <= width && line.length <= width * 4) expect(fitted).toBe(line);
      }),
    );
  });
});

it('padWidth counts cells', () => {
  expect([padWidth('日', 4), padWidth('7', 3, 'right'), padWidth('long', 2)]).toEqual(['日  ', '  7', 'long']);
});

it('expandTabs goes to multiples of eight cells', () => {
  expect(expandTabs('a\tb\t\t日\tc')).toBe('a       b               日      c');
});
