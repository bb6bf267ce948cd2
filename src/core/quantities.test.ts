import { expect, it } from 'vitest';
import { parseDuration, parseSize } from './quantities.ts';

it.each([
  ['90s', 90_000],
  ['2m', 120_000],
  ['1h30m', 5_400_000],
  ['7d', 604_800_000],
  ['2w', 1_209_600_000],
  ['0.5s', 500],
  ['0s', 0],
  ['90', undefined],
  ['', undefined],
  ['-1s', undefined],
  ['1y', undefined],
  ['1h 30m', undefined],
  ['999999999w', undefined],
])('%j lasts %s ms', (text, expected) => expect(parseDuration(text)).toBe(expected));

it.each([
  ['0', 0],
  ['4096', 4096],
  ['10B', 10],
  ['500MB', 500_000_000],
  ['500 MB', 500_000_000],
  ['2G', 2_000_000_000],
  ['1.5GiB', 1_610_612_736],
  ['1ki', 1024],
  ['3tb', 3_000_000_000_000],
  ['', undefined],
  ['-1', undefined],
  ['1PB', undefined],
  ['1e9', undefined],
  ['999999999999999T', undefined],
])('%j is %s bytes', (text, expected) => expect(parseSize(text)).toBe(expected));
