import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noise } from '../../test/fixtures/squashfs-images.ts';
import { requires } from '../../test/rig/gates.ts';
import { CorruptBlock } from './malformed.ts';
import { zstdDecode } from './zstd-decode.ts';

requires('tool:zstd');

const compress = (data: Uint8Array, ...options: string[]) =>
  execFileSync('zstd', ['-q', '-c', '--ultra', ...options], { input: data });

const binary = readFileSync(process.execPath).subarray(20_000_000, 20_400_000);
const text = Buffer.from(Array.from({ length: 12_000 }, (_, i) => `line ${i * 7919} of the text\n`).join(''));

describe('decodes what zstd makes', () => {
  const samples: readonly (readonly [name: string, data: Buffer])[] = [
    ['nothing', Buffer.alloc(0)],
    ['one byte', Buffer.from('x')],
    ['zeros', Buffer.alloc(1_000_000)],
    ['a period', Buffer.from('abcdefg'.repeat(100_000))],
    ['text', text],
    ['a binary', binary],
    ['noise', noise(3, 300_000)],
    ['noise twice', Buffer.concat([noise(4, 100_000), noise(4, 100_000)])],
    ['few symbols', Buffer.from(noise(5, 200_000).map(byte => byte & 3))],
    ['skewed symbols', Buffer.from(noise(6, 200_000).map(byte => Math.clz32(byte)))],
  ];
  const levels = ['-1', '-3', '-9', '-19', '-22', '--fast=5', '--check', '--no-check'];
  it.each(samples.flatMap(([name, data]) => levels.map(level => [name, level, data] as const)))(
    '%s with %s',
    (_, level, data) => {
      expect(zstdDecode(compress(data, level), data.length).equals(data)).toBe(true);
    },
  );

  it.each([100, 255, 256, 8191, 8192, 65_792, 131_072, 131_073])('prefixes of %d bytes', size => {
    for (const source of [binary, text]) {
      const data = source.subarray(1000, 1000 + size);
      expect(zstdDecode(compress(data, '-19'), size).equals(data)).toBe(true);
    }
  });
});

describe('hostile frames', () => {
  it('are refused where they hold more than allowed', () => {
    const data = Buffer.alloc(100_000);
    expect(() => zstdDecode(compress(data), 99_999)).toThrow(CorruptBlock);
    expect(() => zstdDecode(execFileSync('zstd', ['-qc', '--no-content-size'], { input: data }), 99_999)).toThrow(
      CorruptBlock,
    );
  });

  it('give a CorruptBlock or at most the allowed bytes, wherever bits are wrong', () => {
    const frames = [binary.subarray(0, 20_000), text.subarray(0, 20_000), noise(8, 500)].flatMap(data =>
      ['-1', '-19'].map(level => compress(data, level, '--no-check')),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...frames),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        fc.option(fc.nat(), { freq: 4, nil: undefined }),
        (frame, changes, cut) => {
          const bytes = Buffer.from(cut === undefined ? frame : frame.subarray(0, cut % frame.length));
          for (const [at, value] of changes) if (bytes.length > 0) bytes[at % Math.min(bytes.length, 400)] = value;
          try {
            expect(zstdDecode(bytes, 20_000).length).toBeLessThanOrEqual(20_000);
          } catch (error) {
            expect(error).toBeInstanceOf(CorruptBlock);
          }
        },
      ),
      { numRuns: 5000 },
    );
  });
});
