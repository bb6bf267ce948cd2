import { expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import type { Descriptor } from './descriptor.ts';
import { REF_NAME, tagOf, withOrder } from './layout-index.ts';
import { MediaType } from './media-types.ts';

const entry = (tag: string): Descriptor => ({
  mediaType: MediaType.manifest,
  digest: digestOf(tag),
  size: 1,
  ...(tag === '' ? {} : { annotations: { [REF_NAME]: tag } }),
});

it.each([
  ['b a', 'a b', 'a b'],
  ['x b  y a z', 'a b', 'x a  y b z'],
  ['c a b', 'a b', 'c a b'],
  ['b a', 'none a also b', 'a b'],
  ['b a', '', 'b a'],
  ['', 'a', ''],
])('%j in the order %j is %j', (before, tags, after) => {
  const list = before.split(' ').map(entry);
  const ordered = withOrder(list, tags.split(' ').filter(tag => tag !== ''));
  expect(ordered.map(one => tagOf(one) ?? '').join(' ')).toBe(after);
  expect(ordered === list).toBe(before === after);
});
