import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { substitute } from './substitute.ts';

const run = (text: string, values: Record<string, string> = {}) =>
  substitute('f', text, new Map(Object.entries(values)));

describe('substitution', () => {
  it.each<[string, Record<string, string>, string]>([
    ['${{ONE}} ${{TWO:}} ${{TWO:3}} ${{OTHER:22}} ${{NONE:}}', { ONE: '1', TWO: '2' }, '1 2 2 22 '],
    ['${{A:x:y}}', {}, 'x:y'],
    ['${{A:\n}}', {}, '\n'],
    ['a${{A}}b${{A}}c', { A: '' }, 'abc'],
    ['${{A}}', { A: '${{B}}', B: 'no' }, '${{B}}'],
    ['${{A}}', { A: '$& $1 $$' }, '$& $1 $$'],
    ['# ${{A}}', { A: 'comment' }, '# comment'],
    ['$A ${A} ${A:x} $$ ${', {}, '$A ${A} ${A:x} $$ ${'],
    ['$AB ${AB} $A_ ${A//x} ${A', { A: '1' }, '$AB ${AB} $A_ ${A//x} ${A'],
    ['${{A} }', { A: '1' }, '${{A} }'],
    ['${{', {}, '${{'],
  ])('%j with %j', (text, values, expected) => {
    const result = run(text, values);
    expect(result.diagnostics).toEqual([]);
    expect(result.text).toBe(expected);
  });

  it.each<[string, Record<string, string>, string[]]>([
    ['x ${{A}}', {}, ['substitution-missing 3-9 no value for substitution A']],
    [
      '${{A}} ${{B}}',
      {},
      ['substitution-missing 1-7 no value for substitution A', 'substitution-missing 8-14 no value for substitution B'],
    ],
    ['x $A', { A: '1' }, ['substitution-form 3-5 $A is not replaced, although a value for A was given']],
    ['${A}', { A: '1' }, ['substitution-form 1-5 ${A} is not replaced, although a value for A was given']],
    ['${A:b c}', { A: '1' }, ['substitution-form 1-9 ${A:b c} is not replaced, although a value for A was given']],
  ])('refuses %j with %j', (text, values, expected) => {
    const found = run(text, values).diagnostics;
    expect(found.map(d => `${d.rule} ${d.span!.column}-${d.span!.endColumn} ${d.message}`)).toEqual(expected);
  });

  it.each<[string, Record<string, string>, string]>([
    ['${{A}}', {}, 'give it with --substitute A=VALUE, or write a default: ${{A:default}}'],
    ['${{ A }}', { A: '1' }, 'write ${{A}} without spaces'],
    ['$A', { A: '1' }, 'write ${{A}} to have it replaced'],
    ['${A:x}', { A: '1' }, 'write ${{A:x}} to have it replaced'],
  ])('shows how to write %j', (text, values, suggestion) => {
    expect(run(text, values).diagnostics[0]!.suggestion).toBe(suggestion);
  });

  it.each(['${{', '${A:', '${{A:', '$A', '${{A}'])('takes linear time for a million times %s', unit => {
    const result = run(unit.repeat(1_000_000), { A: '1' });
    expect(result.diagnostics.length).toBeLessThanOrEqual(200);
  });
});

const plain = fc.string({ unit: fc.constantFrom('a', ' ', '\n', ':', '{', '[', '#', '"') });
const value = fc.string({ unit: fc.constantFrom('a', '\n', '$', '{', ':') });
const part = fc.oneof(
  plain.map(text => ({ text, placeholder: undefined })),
  fc.record({ text: value, placeholder: fc.constantFrom('A', 'B_2', 'C') }),
);

describe('whatever the text', () => {
  it('replaces exactly the placeholders and leads every character back to where it was written', () => {
    fc.assert(
      fc.property(fc.array(part), parts => {
        const values = new Map(
          parts.flatMap(p => (p.placeholder === undefined ? [] : [[p.placeholder, p.text] as const])),
        );
        const raw = parts.map(p => (p.placeholder === undefined ? p.text : `\${{${p.placeholder}}}`));
        const expected = parts.map(p => (p.placeholder === undefined ? p.text : values.get(p.placeholder)!));
        const { text, source, diagnostics } = substitute('f', raw.join(''), values);
        expect(diagnostics).toEqual([]);
        expect(text).toBe(expected.join(''));
        let at = 0;
        let rawAt = 0;
        for (const [index, { placeholder }] of parts.entries()) {
          const length = expected[index]!.length;
          if (length > 0) {
            const span = source.span(at, at + length);
            expect(span).toEqual(source.rawSpan(rawAt, rawAt + raw[index]!.length));
            const last = placeholder === undefined ? source.rawSpan(rawAt + length - 1, rawAt + length) : span;
            expect(source.span(at + length - 1, at + length)).toEqual(last);
          }
          at += length;
          rawAt += raw[index]!.length;
        }
      }),
    );
  });
});
