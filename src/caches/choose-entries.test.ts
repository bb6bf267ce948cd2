import { expect, it } from 'vitest';
import type { Cache, CacheEntry } from '../core/cache.ts';
import { chooseEntries } from './choose-entries.ts';

const cache: Cache = {
  kind: 'test',
  description: '',
  list: async () => [],
  remove: async () => true,
  verify: async () => 'right',
};
const NOW = 1000;
/** `a10@900!`: ten bytes, last used at 900, in use. */
function entryOf(text: string): CacheEntry {
  const [, key = '', size, used, mark] = /^([a-z])(\d+)@(\d+)(!?)$/.exec(text)!;
  return { key, sizeBytes: Number(size), lastUsed: new Date(Number(used)), inUse: mark === '!' };
}

it.each([
  ['nothing without limits', 'a10@1 b10@2', {}, ''],
  ['what is too old', 'a10@100 b10@900', { maxAgeMs: 500 }, 'a'],
  ['what is exactly too old', 'a10@500', { maxAgeMs: 500 }, 'a'],
  ['the longest unused until the rest fits', 'a10@3 b10@1 c10@2', { maxBytes: 15 }, 'b c'],
  ['no more than it must', 'a10@3 b10@1 c10@2', { maxBytes: 20 }, 'b'],
  ['nothing in use, which counts', 'a10@1! b10@2 c10@3', { maxBytes: 10 }, 'b c'],
  ['everything', 'a10@1 b0@1000', { maxAgeMs: 0 }, 'a b'],
  ['what is old, which makes room for the rest', 'a10@1 b10@900 c10@901', { maxAgeMs: 500, maxBytes: 20 }, 'a'],
])('removes %s', (_what, entries, limit, expected) => {
  const kept = entries.split(' ').map(text => ({ cache, entry: entryOf(text) }));
  const chosen = chooseEntries(kept, limit, NOW).map(({ entry }) => entry.key);
  expect(chosen.join(' ')).toBe(expected);
});
