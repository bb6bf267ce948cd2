import { expect, it } from 'vitest';
import { lazySettings } from './lazy-settings.ts';

it.each([
  ['500M', '30s', 500_000_000, 30_000],
  ['1.5GiB', '5m', 1.5 * 1024 ** 3, 300_000],
  ['0', '1h', 0, 3_600_000],
])('takes %s and %s', (size, patience, cacheBytes, patienceMs) => {
  expect(lazySettings(size, patience)).toEqual({ cacheBytes, patienceMs });
});

it.each([
  ['10X', '5m'],
  ['-1', '5m'],
  ['1G', 'soon'],
])('refuses %s and %s', (size, patience) => {
  expect(() => lazySettings(size, patience)).toThrow(expect.objectContaining({ code: 'usage' }));
});
