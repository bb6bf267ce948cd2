import { expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../caches/cache-limits.ts';
import { parseCacheSettings } from './cache-settings.ts';

const parse = (value: unknown) => parseCacheSettings('config.yaml', value, DEFAULT_LIMITS);

it('puts limits in place of the usual ones, one by one', () => {
  const { maxAgeMs } = DEFAULT_LIMITS['http']!;
  expect(parse({ http: { size: '1GB' }, converted: { age: 'none', size: 500 }, records: {} })).toEqual({
    http: { maxBytes: 1e9, maxAgeMs },
    converted: { maxBytes: 500 },
    records: DEFAULT_LIMITS['records'],
  });
});

it.each([[[]], ['x'], [{ htpp: {} }], [{ http: 5 }], [{ http: { sise: '1GB' } }], [{ http: { size: 'much' } }]])(
  'refuses %j',
  value => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'usage' }) as Error);
  },
);
