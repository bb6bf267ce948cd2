import { describe, expect, it } from 'vitest';
import { compareTags, newerTags } from './tag-order.ts';

describe('tags as versions', () => {
  it.each([
    ['1.9', '1.10'],
    ['1.2', '1.2.1'],
    ['1.2-rc1', '1.2'],
    ['1.2-rc1', '1.2-rc2'],
    ['1.2', '1.2-slim'],
    ['v2', 'v10'],
    ['20240101', '20250101'],
  ])('%s comes before %s', (older, newer) => {
    expect(compareTags(older, newer)).toBeLessThan(0);
    expect(compareTags(newer, older)).toBeGreaterThan(0);
  });

  it('are newer where they have the same form', () => {
    const tags = ['1.2-slim', '1.10-slim', '1.3-slim', '1.3', 'latest', '1.1-slim', '2.0.0-slim'];
    expect(newerTags('1.2-slim', tags)).toEqual(['1.10-slim', '1.3-slim']);
    expect(newerTags('latest', ['stable', '1.0'])).toEqual([]);
  });
});
