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
import { readTar, run, tarEntry, tarOf, temporaryDirectory, type TarMember } from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import type { TarEntryType } from './tar-entry.ts';
import { tarHeader } from './tar-writer.ts';

requires('root');

const directory = temporaryDirectory();
afterAll(() => directory[Symbol.dispose]());

/** The file as a reader sees it. */
function expanded({ entry, body }: TarMember): Buffer {
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
    const members = await readTar(archive(...options));
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
      expect((await readTar(bytes)).at(-1)!.body.toString()).toBe('deep');
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
        const read = await readTar(tarOf(...written), chunkBytes);
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
