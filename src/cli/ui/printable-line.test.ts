import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_LINE_UNITS, printableLine, printableLines } from './printable-line.ts';

describe('printableLine', () => {
  it.each([
    ['plain text', 'a line', 'a line'],
    ['tabs', 'a\tb', 'a\tb'],
    ['colours', '\u001b[1;31mred\u001b[0m', 'red'],
    ['cursor movement', '\u001b[2J\u001b[1;1Hevil', 'evil'],
    ['private modes', '\u001b[?1049hx\u001b[?25l', 'x'],
    ['8-bit control sequences', '\u009b2Jevil', 'evil'],
    ['a window title', '\u001b]0;title\u0007text', 'text'],
    ['a hyperlink', '\u001b]8;;http://x\u001b\\text\u001b]8;;\u001b\\', 'text'],
    ['a device control string', '\u001bPpayload\u001b\\text', 'text'],
    ['an unterminated string', '\u001b]0;still shown', '0;still shown'],
    ['character sets and resets', '\u001b(Bok\u001bc', 'ok'],
    ['a lone escape at the end', 'end\u001b', 'end'],
    ['a sequence cut at the end', 'end\u001b[3', 'end'],
    ['a progress bar', '10%\r20%\r30%', '30%'],
    ['a progress bar that returns last', '10%\r20%\r', '20%'],
    ['a progress bar that blanks its line', 'done\r      \r', 'done'],
    ['DOS line ends', 'text\r', 'text'],
    ['backspaces', 'ab\b\bcd', 'cd'],
    ['backspaces over nothing', '\b\bx', 'x'],
    ['bells and nulls', 'a\u0007\u0000b\u007f', 'ab'],
    ['text direction', 'a\u202eb\u2066c', 'abc'],
    ['line separators', 'a\u2028b', 'a b'],
    ['half a surrogate pair', 'a\ud83d', 'a\ufffd'],
    ['emoji', '\u{1f600}', '\u{1f600}'],
  ])('%s', (_what, text, expected) => expect(printableLine(text)).toBe(expected));

  it('cuts a very long line and says by how much', () => {
    expect(printableLine('x'.repeat(MAX_LINE_UNITS + 5))).toBe(`${'x'.repeat(MAX_LINE_UNITS)}… (5 more characters)`);
    const emoji = printableLine('x'.repeat(MAX_LINE_UNITS - 1) + '\u{1f600}'.repeat(2));
    expect(emoji).toBe(`${'x'.repeat(MAX_LINE_UNITS - 1)}… (4 more characters)`);
  });

  it('leaves nothing that drives a terminal, whatever comes', () => {
    const hostile = fc.array(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.constantFrom('\u001b', '[', ']', '\u009b', '\u0007', '\r', '\b', ';', '\\', 'P', '\ud800'),
      ),
    );
    fc.assert(
      fc.property(hostile, parts => {
        const line = printableLine(parts.join(''));
        expect(line).not.toMatch(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/);
        expect(line).not.toMatch(/\p{Surrogate}/u);
      }),
    );
  });

  it('takes time in proportion to the text', () => {
    const started = performance.now();
    for (const text of ['\u001b]', '\u001b[1;', '\u001b', '\u009b', 'a\b', '\r']) printableLine(text.repeat(200_000));
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

it('printableLines splits text', () => {
  expect(printableLines('a\r\n\u001b[1mb\nc')).toEqual(['a', 'b', 'c']);
});
