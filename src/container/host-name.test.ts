import { expect, test } from 'vitest';
import { hostnameLike } from './host-name.ts';

test.each([
  ['app', 'app'],
  ['app_1:x', 'app-1-x'],
  ['.-a.b-.', 'a.b'],
  ['a'.repeat(80), 'a'.repeat(63)],
  ['_', 'stk'],
  ['', 'stk'],
])('the host name like %j is %s', (text, name) => {
  expect(hostnameLike(text, 'stk')).toBe(name);
});
