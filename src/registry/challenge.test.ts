import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseChallenges } from './challenge.ts';

const parsed = (header: string) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

describe('challenges', () => {
  it.each<[string, unknown]>([
    ['Basic realm="x"', [['basic', { realm: 'x' }]]],
    [
      'Bearer realm="https://a/t",service="s, t",scope="a:b:pull,push"',
      [['bearer', { realm: 'https://a/t', service: 's, t', scope: 'a:b:pull,push' }]],
    ],
    ['bearer Realm = "x" , service=y', [['bearer', { realm: 'x', service: 'y' }]]],
    [
      'Basic realm="a", Bearer realm="b"',
      [
        ['basic', { realm: 'a' }],
        ['bearer', { realm: 'b' }],
      ],
    ],
    [
      'Negotiate, Basic realm="a"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'a' }],
      ],
    ],
    [
      'Negotiate YWJj==, Basic realm="a"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'a' }],
      ],
    ],
    ['Bearer realm="a\\"b"', [['bearer', { realm: 'a"b' }]]],
    ['Bearer realm="first",realm="second"', [['bearer', { realm: 'first' }]]],
    ['Bearer realm="never ends', [['bearer', {}]]],
    ['', []],
    ['"', []],
    [',,,', []],
  ])('%s', (header, expected) => expect(parsed(header)).toEqual(expected));

  it('ignores a huge header and stops after many challenges', () => {
    expect(parseChallenges(`Bearer realm="${'x'.repeat(10_000)}"`)).toEqual([]);
    expect(parseChallenges('a,'.repeat(4000)).length).toBeLessThanOrEqual(16);
  });

  it('never throws and always ends', () => {
    const pieces = fc.array(
      fc.constantFrom('Bearer', 'Basic', ' ', ',', '=', '"', '\\', 'realm', 'x', '==', '\t', '(', 'é'),
    );
    fc.assert(
      fc.property(pieces, list => void parseChallenges(list.join(''))),
      { numRuns: 2000 },
    );
  });
});
