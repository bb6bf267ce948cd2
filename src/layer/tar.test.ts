import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StkError } from '../core/errors.ts';
import { chunked, run, tarEntry, tarOf, temporaryDirectory } from './layer-fixtures.ts';
import { parsePaxRecords, paxRecord } from './tar-pax.ts';
import { TarReader } from './tar-reader.ts';
import type { TarEntry, TarEntryType } from './tar-entry.ts';
import { tarHeader } from './tar-writer.ts';

const directory = temporaryDirectory();
afterAll(() => directory[Symbol.dispose]());

interface Member {
  readonly entry: TarEntry;
  readonly body: Buffer;
}

async function readAll(bytes: Buffer, chunkBytes = 1000): Promise<Member[]> {
  await using reader = new TarReader(chunked(bytes, chunkBytes));
  const members: Member[] = [];
  for (let entry = await reader.next(); entry; entry = await reader.next()) {
    const pieces: Buffer[] = [];
    for (let piece = await reader.readBody(); piece; piece = await reader.readBody()) pieces.push(Buffer.from(piece));
    members.push({ entry, body: Buffer.concat(pieces) });
  }
  await reader.drain();
  return members;
}

/** The file as a reader sees it. */
function expanded({ entry, body }: Member): Buffer {
  if (!entry.sparse) return body;
  const whole = Buffer.alloc(entry.sizeBytes);
  let at = 0;
  for (const { offset, length } of entry.sparse) {
    body.copy(whole, offset, at, at + length);
    at += length;
  }
  return whole;
}

describe('archives of GNU tar', () => {
  const longName = `${'long-directory-name-'.repeat(12)}/${'n'.repeat(120)}`;
  beforeAll(() => {
    mkdirSync(`${directory}/in/${longName.split('/')[0]}`, { recursive: true });
    writeFileSync(`${directory}/in/${longName}`, 'deep');
    writeFileSync(Buffer.from(`${directory}/in/n\xff\x01 me`, 'latin1'), 'bytes');
    symlinkSync('t'.repeat(300), `${directory}/in/symlink`);
    run('ln', `${directory}/in/${longName}`, `${directory}/in/link`);
    run('mknod', `${directory}/in/device`, 'b', '300', '70000');
    run('mkfifo', `${directory}/in/fifo`);
    const file = openSync(`${directory}/in/sparse`, 'w');
    for (let at = 0; at < 40; at++) writeSync(file, `stretch ${at}`, at * 100_000 + 50_000);
    ftruncateSync(file, 5_000_000);
    closeSync(file);
  });

  const archive = (...options: readonly string[]) =>
    execFileSync(
      'tar',
      ['--sort=name', '--owner=1234567', '--group=3', ...options, '-C', `${directory}/in`, '-cf', '-', '.'],
      {
        maxBuffer: 1 << 28,
      },
    );

  it.each([
    [['--format=gnu']],
    [['--format=gnu', '-S']],
    [['--format=oldgnu', '-S']],
    [['--format=posix']],
    [['--format=posix', '-S', '--sparse-version=0.0']],
    [['--format=posix', '-S', '--sparse-version=0.1']],
    [['--format=posix', '-S', '--sparse-version=1.0']],
  ])('%j are read whole', async options => {
    const members = await readAll(archive(...options));
    const byPath = new Map(members.map(member => [member.entry.path.replace(/^\.\/|\/$/g, ''), member]));
    const sparse = byPath.get('sparse')!;
    expect(expanded(sparse).equals(readFileSync(`${directory}/in/sparse`))).toBe(true);
    expect(sparse.entry.sparse !== undefined).toBe(options.includes('-S'));
    expect(byPath.get('n\xff\x01 me')!.body.toString()).toBe('bytes');
    expect(byPath.get('symlink')!.entry).toMatchObject({ type: 'symlink', linkPath: 't'.repeat(300) });
    expect(byPath.get('device')!.entry).toMatchObject({ type: 'block', deviceMajor: 300, deviceMinor: 70_000 });
    expect(byPath.get('fifo')!.entry).toMatchObject({ type: 'fifo', uid: 1_234_567, gid: 3 });
    expect(byPath.get('link')!.entry.type).toBe('file');
    expect(byPath.get(longName)!.entry).toMatchObject({ type: 'hardlink', linkPath: './link' });
    expect(byPath.get('')!.entry.type).toBe('directory');
  });

  it('in v7 and ustar form are read', async () => {
    for (const format of ['v7', 'ustar']) {
      const bytes = execFileSync(
        'tar',
        [`--format=${format}`, '-C', `${directory}/in`, '-cf', '-', 'fifo', 'link'].filter(
          a => format !== 'v7' || a !== 'fifo',
        ),
      );
      expect((await readAll(bytes)).at(-1)!.body.toString()).toBe('deep');
    }
  });
});

it('what is written, GNU tar lists', () => {
  const bytes = tarOf(
    { path: 'd/', type: 'directory', mode: 0o1777, uid: 3_000_000_000, gid: 7 },
    { path: `d/${'x'.repeat(200)}`, content: 'abc', xattrs: new Map([['user.k', Buffer.from('v')]]) },
    { path: 'd/old', content: 'o', mtimeSeconds: -5 },
    { path: 'd/link', type: 'hardlink', linkPath: `d/${'x'.repeat(200)}` },
    { path: 'sym', type: 'symlink', linkPath: 'y'.repeat(150) },
    { path: 'dev', type: 'char', deviceMajor: 1, deviceMinor: 3 },
  );
  writeFileSync(`${directory}/written.tar`, bytes);
  const lines = run(
    'tar',
    '--xattrs',
    '--xattrs-include=*',
    '--numeric-owner',
    '--utc',
    '--full-time',
    '-tvvf',
    `${directory}/written.tar`,
  ).split('\n');
  expect(lines.filter(line => !line.startsWith('  x')).map(line => line.replace(/ +/g, ' '))).toEqual([
    'drwxrwxrwt 3000000000/7 0 2001-09-09 01:46:40 d/',
    `-rw-r--r--* 0/0 3 2001-09-09 01:46:40 d/${'x'.repeat(200)}`,
    '-rw-r--r-- 0/0 1 1969-12-31 23:59:55 d/old',
    `hrw-r--r-- 0/0 0 2001-09-09 01:46:40 d/link link to d/${'x'.repeat(200)}`,
    `lrw-r--r-- 0/0 0 2001-09-09 01:46:40 sym -> ${'y'.repeat(150)}`,
    'crw-r--r-- 0/0 1,3 2001-09-09 01:46:40 dev',
    '',
  ]);
});

const anyPath = fc.stringMatching(/^[^\0/]{1,150}$/).map(text => Buffer.from(text).toString('latin1'));
const anyEntry = fc.record({
  type: fc.constantFrom<TarEntryType>('file', 'directory', 'symlink', 'hardlink', 'fifo', 'char', 'block'),
  path: anyPath,
  linkPath: anyPath,
  mode: fc.nat(0o7777),
  uid: fc.nat(0xff_ff_ff_ff),
  gid: fc.nat(0xff_ff_ff_ff),
  mtimeSeconds: fc.integer({ min: -(2 ** 33), max: 2 ** 33 }),
  deviceMajor: fc.nat(0xfff),
  deviceMinor: fc.nat(0xf_ff_ff),
  xattrs: fc
    .dictionary(fc.stringMatching(/^user\.[^=\0\u0100-\uffff]{1,20}$/), fc.uint8Array({ maxLength: 3000 }), {
      maxKeys: 3,
    })
    .map(values => new Map(Object.entries(values).map(([key, value]) => [key, Buffer.from(value)]))),
  content: fc.string({ maxLength: 2000 }).map(text => Buffer.from(text).toString('latin1')),
});

it('what is written is read again', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyEntry, { maxLength: 5 }),
      fc.integer({ min: 1, max: 3000 }),
      async (entries, chunkBytes) => {
        const written = entries.map(({ content, ...entry }) => {
          const devices = entry.type === 'char' || entry.type === 'block' ? {} : { deviceMajor: 0, deviceMinor: 0 };
          return { ...entry, ...devices, ...(entry.type === 'file' ? { content } : {}) };
        });
        const read = await readAll(tarOf(...written), chunkBytes);
        expect(read.map(({ entry }) => ({ ...entry }))).toEqual(written.map(entry => ({ ...tarEntry(entry) })));
        expect(read.map(({ body }) => body.toString('latin1'))).toEqual(
          written.map(entry => ('content' in entry ? entry.content : '')),
        );
      },
    ),
    { numRuns: 150 },
  );
});

it('a sparse file is written so that GNU tar restores it', () => {
  const sparse = [
    { offset: 1024, length: 512 },
    { offset: 900_096, length: 4 },
  ];
  const entry = tarEntry({ path: 'holes', sizeBytes: 1_000_000, sparse });
  const bytes = Buffer.concat([
    tarHeader(entry),
    Buffer.alloc(512, 'a'),
    Buffer.from('defg'),
    Buffer.alloc(508 + 1024),
  ]);
  const out = execFileSync('tar', ['-xOf', '-'], { input: bytes, maxBuffer: 1 << 28 });
  const expected = Buffer.alloc(1_000_000);
  expected.fill('a', 1024, 1536).write('defg', 900_096);
  expect(out.equals(expected)).toBe(true);
});

describe('dialects', () => {
  const header = (
    sketch: Parameters<typeof tarEntry>[0],
    typeFlag: string,
    change: (block: Buffer) => void = () => {},
  ) => {
    const block = Buffer.from(tarHeader(tarEntry(sketch)).subarray(-512));
    block.write(typeFlag, 156, 'latin1');
    change(block);
    block.write('        ', 148, 'latin1');
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
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
    const entries = (await readAll(bytes)).map(({ entry }) => [entry.path, entry.uid, entry.mtimeSeconds]);
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
    expect((await readAll(bytes))[0]!.entry).toMatchObject({ uid: 0x20_00_01, mtimeSeconds: -1 });
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
    const [member] = await readAll(bytes);
    expect([...member!.entry.xattrs].map(([name, value]) => [name, value.toString()])).toEqual([
      ['user.a b', 'hi'],
      ['user.c', 'star'],
    ]);
  });

  it('a volume label is skipped, a name with a slash at the end is a directory', async () => {
    const bytes = Buffer.concat([header({ path: 'label' }, 'V'), header({ path: 'old/' }, '0')]);
    expect((await readAll(bytes)).map(({ entry }) => entry.type)).toEqual(['directory']);
  });

  it.each([
    ['no bytes at all', Buffer.alloc(0), 0],
    ['one block of zeros', Buffer.alloc(512), 0],
    ['no end', tarOf({ path: 'a', content: 'x' }).subarray(0, 1024), 1],
    ['an end within padding', tarOf({ path: 'a', content: 'x' }).subarray(0, 700), 1],
    ['anything after the end', Buffer.concat([tarOf({ path: 'a' }), Buffer.alloc(5000, 'x')]), 1],
  ])('%s is accepted', async (_, bytes, count) => expect(await readAll(bytes)).toHaveLength(count));

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
    await expect(readAll(bytes)).rejects.toMatchObject({ code });
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
      for (let at = 0; at + 512 <= bytes.length; at += 512) fixChecksum(bytes.subarray(at, at + 512));
      const failure = await readAll(bytes.subarray(0, end)).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure !== undefined) expect(failure).toBeInstanceOf(StkError);
    }),
    { numRuns: 400 },
  );
});

/** Makes a header's checksum right again, so that changes get past it. */
function fixChecksum(block: Buffer): void {
  if (block.toString('latin1', 257, 262) !== 'ustar') return;
  block.write('        ', 148, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}

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
