import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mergeKeyed, mergeLineSets, mergeSets, mergeValue } from './three-way.ts';

const items = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'));
const sides = fc.array(items, { minLength: 1, maxLength: 4 });

describe('mergeSets', () => {
  it('keeps what nobody took out and adds what anybody brought', () => {
    fc.assert(
      fc.property(items, sides, (ancestor, changed) => {
        const merged = mergeSets(ancestor, changed);
        const expected = new Set(
          [...ancestor, ...changed.flat()].filter(item =>
            ancestor.includes(item) ? changed.every(side => side.includes(item)) : true,
          ),
        );
        expect(new Set(merged)).toEqual(expected);
        expect(merged).toHaveLength(expected.size);
      }),
    );
  });

  it('has the same elements whatever the order of sides', () => {
    fc.assert(
      fc.property(items, sides, (ancestor, changed) => {
        expect(mergeSets(ancestor, changed).toSorted()).toEqual(mergeSets(ancestor, changed.toReversed()).toSorted());
      }),
    );
  });

  it('finds nothing more to do in what it made', () => {
    fc.assert(
      fc.property(items, sides, (ancestor, changed) => {
        const merged = mergeSets(ancestor, changed);
        expect(mergeSets(merged, [merged, merged])).toEqual(merged);
        expect(mergeSets(ancestor, [merged, merged]).toSorted()).toEqual(merged.toSorted());
      }),
    );
  });

  it('keeps the order of the ancestor, then that of the sides', () => {
    expect(
      mergeSets(
        ['b', 'a'],
        [
          ['a', 'b', 'z'],
          ['y', 'b', 'a'],
        ],
      ),
    ).toEqual(['b', 'a', 'z', 'y']);
  });
});

describe('mergeKeyed', () => {
  const entries = fc
    .dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2', '3'))
    .map(record => new Map(Object.entries(record)));

  it('never lets the ancestor win over a change, and asks only where changes differ', () => {
    fc.assert(
      fc.property(entries, fc.array(entries, { minLength: 1, maxLength: 4 }), (ancestor, changed) => {
        const asked = new Set<string>();
        const merged = mergeKeyed<string>({
          ancestor,
          sides: changed,
          equal: (a, b) => a === b,
          settle: key => {
            asked.add(key);
            return 'settled';
          },
        });
        for (const key of ['a', 'b', 'c']) {
          const before = ancestor.get(key);
          const changes = new Set(changed.map(side => side.get(key)).filter(value => value !== before));
          const expected = changes.size === 0 ? before : changes.size === 1 ? [...changes][0] : 'settled';
          expect(merged.get(key)).toBe(expected);
          expect(asked.has(key)).toBe(changes.size > 1);
        }
      }),
    );
  });
});

describe('mergeLineSets', () => {
  it.each([
    ['a\nb\n', ['a\nb\nc\n', 'a\nb\nd\n'], 'a\nb\nc\nd\n'],
    ['a\na\n', ['a\n', 'a\na\nb\n'], 'a\nb\n'],
    ['', ['x', 'y'], 'x\ny\n'],
    ['a\n', ['', 'a\n'], ''],
  ])('of %j and %j is %j', (ancestor, changed, expected) => {
    expect(mergeLineSets(ancestor, changed)).toBe(expected);
  });
});

it.each([
  [1, [1, 1], { value: 1 }],
  [1, [2, 1, 2], { value: 2 }],
  [
    1,
    [2, 1, 3],
    {
      clash: [
        { side: 0, value: 2 },
        { side: 2, value: 3 },
      ],
    },
  ],
])('mergeValue of %j and %j is %j', (ancestor, changed, expected) => {
  expect(mergeValue(ancestor, changed)).toEqual(expected);
});
