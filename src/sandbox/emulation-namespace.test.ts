import { expect, it } from 'vitest';
import { sameIds } from './emulation-namespace.ts';

it.each([
  ['         0          0 4294967295\n', '0 0 4294967295\n'],
  ['         0       1000          1\n         1     100000      65536\n', '0 0 1\n1 1 65536\n'],
])('ids of %j are the same inside', (map, expected) => {
  expect(sameIds(map)).toBe(expected);
});
