import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fixChecksums, readTar, tarEntry, tarOf } from '../../test/fixtures/layer-trees.ts';
import { StkError } from '../core/errors.ts';
import { parsePaxRecords, paxRecord } from './tar-pax.ts';
import { tarHeader } from './tar-writer.ts';

describe('dialects', () => {
  const header = (
    sketch: Parameters<typeof tarEntry>[0],
    typeFlag: string,
    change: (block: Buffer) => void = () => {},
  ) => {
    const block = Buffer.from(tarHeader(tarEntry(sketch)).subarray(-512));
    block.write(typeFlag, 156, 'latin1');
    change(block);
    fixChecksums(block);
    return block;
  };
  const padded = (body: Buffer) => Buffer.concat([body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
  const pax = (typeFlag: string, ...records: readonly [string, string][]) => {
    const body = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
    return Buffer.concat([header({ path: 'p', sizeBytes: body.length }, typeFlag), padded(body)]);
  };

  it('a global pax header is about every entry, a local one about the next, and wins', async () => {
    const bytes = Buffer.concat([
      pax('g', ['uid', '5'], ['mtime', '7.9']),
      header({ path: 'a' }, '0'),
      pax('x', ['uid', '6'], ['path', 'renamed']),
      header({ path: 'b' }, '0'),
      header({ path: 'c' }, '0'),
    ]);
    const entries = (await readTar(bytes)).map(({ entry }) => [entry.path, entry.uid, entry.mtimeSeconds]);
    expect(entries).toEqual([
      ['a', 5, 7],
      ['renamed', 6, 7],
      ['c', 5, 7],
    ]);
  });

  it('base-256 numbers, negative ones too', async () => {
    const bytes = header({ path: 'a' }, '0', block => {
      block.set([0x80, 0, 0, 0, 0, 0x20, 0, 1], 108);
      block.fill(0xff, 136, 148);
    });
    expect((await readTar(bytes))[0]!.entry).toMatchObject({ uid: 0x20_00_01, mtimeSeconds: -1 });
  });

  it('xattrs of libarchive, which those of star win over', async () => {
    const bytes = Buffer.concat([
      pax(
        'x',
        ['LIBARCHIVE.xattr.user.a%20b', 'aGk='],
        ['SCHILY.xattr.user.c', 'star'],
        ['LIBARCHIVE.xattr.user.c', 'aGk='],
      ),
      header({ path: 'a' }, '0'),
    ]);
    const [member] = await readTar(bytes);
    expect([...member!.entry.xattrs].map(([name, value]) => [name, value.toString()])).toEqual([
      ['user.a b', 'hi'],
      ['user.c', 'star'],
    ]);
  });

  it('a volume label is skipped, a name with a slash at the end is a directory', async () => {
    const bytes = Buffer.concat([header({ path: 'label' }, 'V'), header({ path: 'old/' }, '0')]);
    expect((await readTar(bytes)).map(({ entry }) => entry.type)).toEqual(['directory']);
  });

  it.each([
    ['no bytes at all', Buffer.alloc(0), 0],
    ['one block of zeros', Buffer.alloc(512), 0],
    ['no end', tarOf({ path: 'a', content: 'x' }).subarray(0, 1024), 1],
    ['an end within padding', tarOf({ path: 'a', content: 'x' }).subarray(0, 700), 1],
    ['anything after the end', Buffer.concat([tarOf({ path: 'a' }), Buffer.alloc(5000, 'x')]), 1],
  ])('%s is accepted', async (_, bytes, count) => expect(await readTar(bytes)).toHaveLength(count));

  const sparse10 = (map: string) =>
    Buffer.concat([
      pax('x', ['GNU.sparse.major', '1'], ['GNU.sparse.minor', '0'], ['GNU.sparse.realsize', '100']),
      header({ path: 'a', sizeBytes: 512 }, '0'),
      padded(Buffer.from(map)),
      Buffer.alloc(1024),
    ]);

  it.each<[string, Buffer, string]>([
    ['a wrong checksum', Buffer.from(tarOf({ path: 'a' })).fill('b', 0, 1), 'invalid-input'],
    ['text', Buffer.alloc(2048, 'hello '), 'invalid-input'],
    ['an end within a header', tarOf({ path: 'a' }).subarray(0, 300), 'invalid-input'],
    ['an end within a body', tarOf({ path: 'a', content: 'x'.repeat(600) }).subarray(0, 800), 'invalid-input'],
    ['zeros between entries', Buffer.concat([Buffer.alloc(512), tarOf({ path: 'a' })]), 'invalid-input'],
    ['an extension without an entry', pax('x', ['path', 'b']), 'invalid-input'],
    ['a malformed number', header({ path: 'a' }, '0', block => block.write('12x', 124)), 'invalid-input'],
    ['a negative size', header({ path: 'a' }, '0', block => block.fill(0xff, 124, 136)), 'invalid-input'],
    [
      'a size beyond all bounds',
      header({ path: 'a' }, '0', block => block.fill(0x7f, 125, 136).fill(0x80, 124, 125)),
      'invalid-input',
    ],
    ['a pax size that is none', Buffer.concat([pax('x', ['size', '-1']), header({ path: 'a' }, '0')]), 'invalid-input'],
    ['a huge pax header', header({ path: 'p', sizeBytes: 1 << 30 }, 'x'), 'invalid-input'],
    ['a huge long name', header({ path: 'p', sizeBytes: 1 << 30 }, 'L'), 'invalid-input'],
    ['a NUL in a name', Buffer.concat([pax('x', ['path', 'a\0b']), header({ path: 'a' }, '0')]), 'invalid-input'],
    [
      'an owner beyond 32 bits',
      Buffer.concat([pax('x', ['uid', '4294967296']), header({ path: 'a' }, '0')]),
      'invalid-input',
    ],
    ['a type of its own', header({ path: 'a' }, 'Q'), 'unsupported'],
    ['a multi-volume entry', header({ path: 'a' }, 'M'), 'unsupported'],
    ['a sparse map that overlaps', sparse10('2\n10\n20\n5\n1\n'), 'invalid-input'],
    ['a sparse map beyond the file', sparse10('1\n90\n20\n'), 'invalid-input'],
    ['a sparse map without an end', sparse10('99\n1\n'), 'invalid-input'],
    ['a sparse map of too many stretches', sparse10('99999999\n'), 'invalid-input'],
    ['a sparse map for other bytes', sparse10('1\n0\n7\n'), 'invalid-input'],
    [
      'an odd sparse map',
      Buffer.concat([pax('x', ['GNU.sparse.map', '1,2,3'], ['GNU.sparse.size', '9']), header({ path: 'a' }, '0')]),
      'invalid-input',
    ],
  ])('%s is refused', async (_, bytes, code) => {
    await expect(readTar(bytes)).rejects.toMatchObject({ code });
  });
});

it('any bytes either are an archive or a clear error', async () => {
  const base = tarOf(
    { path: 'a'.repeat(150), content: 'hello', xattrs: new Map([['user.x', Buffer.from('y')]]) },
    { path: 'b', type: 'hardlink', linkPath: 'c'.repeat(120) },
  );
  const flip = fc.tuple(fc.nat(base.length - 1), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(fc.array(flip, { minLength: 1, maxLength: 6 }), fc.nat(base.length), async (flips, end) => {
      const bytes = Buffer.from(base);
      for (const [at, value] of flips) bytes[at] = value;
      fixChecksums(bytes);
      const failure = await readTar(bytes.subarray(0, end)).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure !== undefined) expect(failure).toBeInstanceOf(StkError);
    }),
    { numRuns: 400 },
  );
});

describe('pax records', () => {
  it('count their own digits', () => {
    for (const length of [0, 1, 4, 5, 85, 86, 87, 88, 984, 985, 986, 9980, 9990]) {
      const record = paxRecord('key', 'v'.repeat(length));
      expect(Number(record.toString('latin1').split(' ')[0])).toBe(record.length);
      expect(parsePaxRecords(record)).toEqual([['key', Buffer.from('v'.repeat(length))]]);
    }
  });

  it.each(['x', '5 a', '0 a=b\n', '99 a=b\n', '6 a=b\nx', ' 6 a=b\n', '-6 a=b\n', '6\n'])('refuse %j', text =>
    expect(() => parsePaxRecords(Buffer.from(text))).toThrow(StkError),
  );
});
