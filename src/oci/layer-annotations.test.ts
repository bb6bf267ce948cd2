import { describe, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import {
  MERGE_COUNT,
  MERGE_PATHS,
  MERGE_REMARKS,
  MERGE_RENUMBERED,
  formatAppliedEntries,
  mergeAnnotations,
  parseAppliedEntries,
  parseMergedPaths,
  parseRemarks,
  parseRenumbered,
  renumberedAnnotations,
  type AppliedEntry,
} from './layer-annotations.ts';

const ENTRY: AppliedEntry = {
  name: 'ssl',
  ref: 'docker://registry.example.com/ssl:1',
  digest: digestOf('ssl'),
  anyBase: false,
  conflicts: [['/etc/*', 'last']],
};

describe('the list of what an image applies', () => {
  it('comes back as it was', () => {
    expect(parseAppliedEntries(formatAppliedEntries([ENTRY, { ...ENTRY, anyBase: true }]))).toEqual([
      ENTRY,
      { ...ENTRY, anyBase: true },
    ]);
  });

  it.each([
    'no json',
    '{}',
    '[1]',
    '[null]',
    JSON.stringify([{ ...ENTRY, digest: 'sha256:0' }]),
    JSON.stringify([{ ...ENTRY, conflicts: [['/etc']] }]),
    JSON.stringify([{ ...ENTRY, anyBase: 'yes' }]),
    `[${' '.repeat(1 << 20)}]`,
  ])('is refused as %.20s', text => {
    expect(parseAppliedEntries(text)).toBeUndefined();
  });
});

describe('the list of merged paths', () => {
  it('is cut, counted, and shown as UTF-8', () => {
    const settled = Array.from({ length: 300 }, (_, index) => ({ path: `p${index}`, driver: 'text' }));
    const annotations = mergeAnnotations([{ path: 'gr\u00c3\u00bc', driver: 'dpkg' }, ...settled], [{ text: 'the key is that of ssl' }]);
    expect(annotations[MERGE_COUNT]).toBe('301');
    const paths = parseMergedPaths(annotations[MERGE_PATHS]!);
    expect(paths).toHaveLength(200);
    expect(paths[0]).toEqual(['/grü', 'dpkg']);
    expect(parseRemarks(annotations[MERGE_REMARKS]!)).toEqual(['the key is that of ssl']);
  });

  it.each(['', '[[1,2]]', '[["a"]]', '"x"'])('counts as empty where it is %j', text => {
    expect(parseMergedPaths(text)).toEqual([]);
  });
});

describe('the list of renumbered accounts', () => {
  const redis = { kind: 'user' as const, name: 'redis', image: 'r', from: 101, to: 301, paths: 2, bytes: 7 };

  it('says what it said, and is not there where there is none', () => {
    expect(parseRenumbered(renumberedAnnotations([redis])[MERGE_RENUMBERED]!)).toEqual([redis]);
    expect(renumberedAnnotations([])).toEqual({});
  });

  it.each(['', '{}', '[null]', '[{"kind":"user"}]', JSON.stringify([{ ...redis, to: '301' }]), JSON.stringify([{ ...redis, kind: 'x' }])])(
    'counts as empty where it is %j',
    text => {
      expect(parseRenumbered(text)).toEqual([]);
    },
  );
});
