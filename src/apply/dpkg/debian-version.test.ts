import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareDebianVersions } from './debian-version.ts';

describe('compareDebianVersions', () => {
  it.each([
    ['1.0', '1.0', 0],
    ['1.0', '1.0-0', 0],
    ['0:1.0', '1.0', 0],
    ['1.00', '1.0', 0],
    ['1.0~rc1', '1.0', -1],
    ['1.0~~', '1.0~', -1],
    ['1.0', '1.0a', -1],
    ['1.0a', '1.0+', -1],
    ['1:0.1', '9', 1],
    ['1.9', '1.10', -1],
    ['3.0.11-1~deb12u2', '3.0.11-1', -1],
    ['5.36.0-7+deb12u1', '5.36.0-7', 1],
    ['1-2-3', '1-2-10', -1],
    ['99999999999999999999998', '99999999999999999999999', -1],
  ])('%s against %s', (a, b, sign) => {
    expect(Math.sign(compareDebianVersions(a, b))).toBe(sign);
    expect(Math.sign(compareDebianVersions(b, a))).toBe(-sign || 0);
  });

  it('orders as dpkg does', () => {
    const part = fc.string({ unit: fc.constantFrom(...'0019aZ~+.'.split('')), maxLength: 7 });
    const version = fc
      .tuple(
        fc.constantFrom('', '', '0:', '1:'),
        part,
        fc.option(
          part.filter(text => text !== ''),
          { nil: undefined },
        ),
      )
      .map(([epoch, upstream, revision]) => `${epoch}1${upstream}${revision === undefined ? '' : `-${revision}`}`);
    const pairs = fc.sample(fc.tuple(version, version), 400);
    // One shell for all of them: starting dpkg is what takes the time.
    const script =
      'while read -r a b; do for o in lt eq gt; do dpkg --compare-versions "$a" $o "$b" && echo $o; done; done; true';
    const input = pairs.map(pair => pair.join(' ')).join('\n');
    const expected = execFileSync('sh', ['-c', script], { input: `${input}\n`, encoding: 'utf8' })
      .trim()
      .split('\n');
    const found = pairs.map(([a, b]) => ['lt', 'eq', 'gt'][Math.sign(compareDebianVersions(a, b)) + 1]);
    expect(found).toEqual(expected);
  });

  it('is a total order of any text', () => {
    const text = fc.string({ unit: fc.constantFrom(...'01a~:-. \u00e9'.split('')), maxLength: 8 });
    fc.assert(
      fc.property(text, text, text, (a, b, c) => {
        expect(Math.sign(compareDebianVersions(a, b))).toBe(-Math.sign(compareDebianVersions(b, a)) || 0);
        if (compareDebianVersions(a, b) <= 0 && compareDebianVersions(b, c) <= 0) {
          expect(compareDebianVersions(a, c)).toBeLessThanOrEqual(0);
        }
      }),
    );
  });
});
