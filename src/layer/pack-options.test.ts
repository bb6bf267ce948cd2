import { describe, expect, it } from 'vitest';
import { defaultPackOptions, packOptionsKey, parseCompression } from './pack-options.ts';

describe('parseCompression', () => {
  it.each([
    ['zstd', { compressor: 'zstd', level: 3, blockSizeBytes: 262_144 }],
    ['zstd:19', { compressor: 'zstd', level: 19, blockSizeBytes: 262_144 }],
    ['zstd:9,block=1M', { compressor: 'zstd', level: 9, blockSizeBytes: 1_048_576 }],
    ['gzip,block=4096', { compressor: 'gzip', level: 6, blockSizeBytes: 4096 }],
    ['xz', { compressor: 'xz', blockSizeBytes: 262_144 }],
    ['lz4,block=64k', { compressor: 'lz4', blockSizeBytes: 65_536 }],
  ])('%s', (text, expected) => expect(parseCompression(text)).toEqual({ ...expected, verity: true }));

  it.each(
    ['', 'brotli', 'zstd:0', 'zstd:23', 'zstd:x', 'zstd:1:2', 'xz:6', 'zstd,', 'zstd,block=', 'zstd,block=3K'].concat([
      'zstd,block=100K',
      'zstd,block=2M',
      'zstd,size=4K',
      'toString',
    ]),
  )('refuses %j', text => expect(() => parseCompression(text)).toThrow(expect.objectContaining({ code: 'usage' })));
});

it('the key is one for one choice', () => {
  expect(packOptionsKey(defaultPackOptions)).toBe(
    '{"blockSizeBytes":262144,"compressor":"zstd","level":3,"verity":true}',
  );
  expect(packOptionsKey(parseCompression('xz'))).toBe('{"blockSizeBytes":262144,"compressor":"xz","verity":true}');
});
