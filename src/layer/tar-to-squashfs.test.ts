import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { TarCompression } from '../oci/media-types.ts';
import {
  chunked,
  hostTree,
  imageTree,
  lowerDirectory,
  lowerOf,
  quickOptions,
  run,
  tarEntry,
  tarOf,
  temporaryDirectory,
  type EntrySketch,
} from './layer-fixtures.ts';
import { emptyLower, type LowerLookup } from './lower-tree.ts';
import { convertTarLayer, type ConvertTarRequest } from './tar-to-squashfs.ts';
import { tarHeader } from './tar-writer.ts';

const directory = temporaryDirectory();
const output = `${directory}/layer` as AbsPath;
afterAll(() => directory[Symbol.dispose]());

async function convert(bytes: Buffer, more: Partial<ConvertTarRequest> = {}) {
  const layer = await convertTarLayer({
    source: () => chunked(bytes),
    compression: 'none',
    output,
    options: quickOptions,
    lower: emptyLower,
    ...more,
  });
  return { ...layer, tree: imageTree(output) };
}

const md5 = (text: string) => execFileSync('md5sum', { input: text }).toString().slice(0, 32);
const T = '@1000000000';
const ROOT = 'd 755 0:0 @0';

describe('a tar layer', () => {
  it('becomes the image of the same tree', async () => {
    const tree = `${directory}/tree`;
    mkdirSync(`${tree}/sub/dir`, { recursive: true });
    writeFileSync(`${tree}/sub/file`, 'hello');
    writeFileSync(Buffer.from(`${tree}/\xff\xfe name`, 'latin1'), 'bytes');
    run('ln', `${tree}/sub/file`, `${tree}/link`);
    run('ln', '-s', '../x', `${tree}/sub/symlink`);
    run('mknod', `${tree}/null`, 'c', '1', '3');
    run('mkfifo', `${tree}/fifo`);
    run('cp', '/bin/true', `${tree}/cap`);
    run('setcap', 'cap_net_raw+ep', `${tree}/cap`);
    run('chmod', '4755', `${tree}/sub/file`);
    run('chmod', '1777', `${tree}/sub`);
    run('chown', '-h', '5:6', `${tree}/sub/symlink`);
    run('setfattr', '-n', 'user.key', '-v', 'value', `${tree}/sub`);
    run('truncate', '-s', '3M', `${tree}/sparse`);
    run(
      'touch',
      '-d',
      '@1234567890',
      ...['.', 'sub', 'sub/dir', 'sub/file', 'null', 'fifo', 'cap', 'sparse'].map(n => `${tree}/${n}`),
    );
    run('touch', '-hd', '@1234567890', `${tree}/sub/symlink`);
    execFileSync('sh', ['-c', `touch -d @1234567890 ${tree}/*name`]);
    run('touch', '-d', '@1234567890', tree);
    for (const options of [['--format=posix'], ['--format=posix', '-S'], ['--format=gnu', '-S', '--no-xattrs']]) {
      const bytes = execFileSync('tar', ['--xattrs', '--xattrs-include=*', ...options, '-C', tree, '-cf', '-', '.'], {
        maxBuffer: 1 << 28,
      });
      const { tree: converted, diffId, dependsOnLower } = await convert(bytes);
      const expected = hostTree(tree);
      if (options.includes('--no-xattrs'))
        for (const name in expected) expected[name] = expected[name]!.replace(/ (user|security)\..*/, '');
      expect(converted).toEqual(expected);
      expect(diffId).toBe(digestOf(bytes));
      expect(dependsOnLower).toBe(false);
    }
  });

  it.each<[TarCompression, (bytes: Buffer) => Buffer]>([
    ['gzip', bytes => gzipSync(bytes)],
    ['gzip', bytes => Buffer.concat([gzipSync(bytes.subarray(0, 700)), gzipSync(bytes.subarray(700))])],
    ['zstd', bytes => execFileSync('zstd', ['-c'], { input: bytes })],
  ])('is read through %s, in several members too', async (compression, compress) => {
    const bytes = tarOf({ path: 'file', content: 'x'.repeat(100_000) });
    const progress: number[] = [];
    const packed = compress(bytes);
    const { tree, diffId } = await convert(packed, { compression, onProgress: done => progress.push(done) });
    expect(Object.keys(tree)).toEqual(['.', './file']);
    expect(diffId).toBe(digestOf(bytes));
    expect(progress.at(-1)).toBe(packed.length);
  });

  it('gives the same bytes for the same archive, verity included', async () => {
    const bytes = tarOf(...Array.from({ length: 50 }, (_, n) => ({ path: `d/${n}`, content: `${n}`.repeat(9000) })));
    const options = { ...quickOptions, verity: true };
    const [one, two] = [
      await convert(bytes, { options }),
      await convert(gzipSync(bytes), { options, compression: 'gzip' }),
    ];
    expect(one.verityRoot).toMatch(/^[0-9a-f]{64}$/);
    expect(one.digest).toBe(two.digest);
  });

  it('that is empty becomes an image of nothing but the root', async () => {
    for (const bytes of [Buffer.alloc(1024), Buffer.alloc(0)])
      expect((await convert(bytes)).tree).toEqual({ '.': ROOT });
  });
});

describe('names', () => {
  const file = { content: 'x' };
  it.each<[string, EntrySketch[], Record<string, string>]>([
    [
      'are rooted and cleaned',
      [{ path: '/./a//b/../c', ...file }],
      { './a': ROOT, './a/c': `f 644 0:0 ${T} ${md5('x')}` },
    ],
    [
      'that look like a compressed archive',
      [{ path: '\x1f\x8b\x08\x00'.replace('\x00', ''), ...file }],
      { './\x1f\x8b\x08': `f 644 0:0 ${T} ${md5('x')}` },
    ],
    [
      'below a symlink of the layer go where it points, inside the root',
      [
        { path: 'usr/lib', type: 'directory', mode: 0o700 },
        { path: 'usr', type: 'directory' },
        { path: 'lib', type: 'symlink', linkPath: '../../usr/lib' },
        { path: 'abs', type: 'symlink', linkPath: '/lib' },
        { path: 'abs/f', ...file },
      ],
      {
        './abs': `l 0:0 ${T} -> /lib`,
        './lib': `l 0:0 ${T} -> ../../usr/lib`,
        './usr': `d 755 0:0 ${T}`,
        './usr/lib': `d 700 0:0 ${T}`,
        './usr/lib/f': `f 644 0:0 ${T} ${md5('x')}`,
      },
    ],
    [
      'of the root itself carry its attributes',
      [{ path: './', type: 'directory', mode: 0o711, uid: 3 }],
      { '.': `d 711 3:0 ${T}` },
    ],
  ])('%s', async (_, entries, expected) =>
    expect((await convert(tarOf(...entries))).tree).toEqual({ '.': ROOT, ...expected }),
  );

  it('may be ten thousand directories deep', async () => {
    const bytes = tarOf({ path: `${'a/'.repeat(10_000)}f`, content: 'x' });
    await convertTarLayer({
      source: () => chunked(bytes),
      compression: 'none',
      output,
      options: quickOptions,
      lower: emptyLower,
    });
    expect(existsSync(output)).toBe(true);
  });
});

describe('whiteouts', () => {
  const whiteout = 'c 0 0:0 @0 0';
  const opaque = 'user.overlay.opaque=0x79';
  const x = `f 644 0:0 ${T} ${md5('x')}`;
  it.each<[string, EntrySketch[], Record<string, string>]>([
    [
      'become devices 0:0',
      [{ path: 'd/', type: 'directory' }, { path: 'd/.wh.gone' }],
      { './d': `d 755 0:0 ${T}`, './d/gone': whiteout },
    ],
    ['at the root', [{ path: '.wh.gone' }], { './gone': whiteout }],
    [
      'of all become an opaque mark',
      [{ path: 'd/.wh..wh..opq' }, { path: 'd/', type: 'directory', mode: 0o700 }],
      { './d': `d 700 0:0 ${T} ${opaque}` },
    ],
    [
      'of AUFS itself are ignored',
      [{ path: '.wh..wh.plnk/1.2', content: 'x' }, { path: '.wh..wh.aufs' }, { path: 'f', content: 'x' }],
      { './f': x },
    ],
    ['beside a new file say nothing', [{ path: 'f', content: 'x' }, { path: '.wh.f' }], { './f': x }],
    ['before a new file say nothing', [{ path: '.wh.f' }, { path: 'f', content: 'x' }], { './f': x }],
    [
      'beside a new directory make it opaque',
      [{ path: '.wh.d' }, { path: 'd/f', content: 'x' }],
      { './d': `${ROOT} ${opaque}`, './d/f': x },
    ],
    [
      'overlay xattrs of an archive are not believed',
      [
        {
          path: 'd',
          type: 'directory',
          xattrs: new Map([
            ['user.overlay.opaque', Buffer.from('y')],
            ['user.a', Buffer.from('b')],
          ]),
        },
      ],
      { './d': `d 755 0:0 ${T} user.a=0x62` },
    ],
  ])('%s', async (_, entries, expected) =>
    expect((await convert(tarOf(...entries))).tree).toEqual({ '.': ROOT, ...expected }),
  );

  it.each(['.wh.', '.wh..', '.wh...', 'd/.wh..'])('%s deletes nothing possible', path =>
    expect(convert(tarOf({ path }))).rejects.toMatchObject({ code: 'invalid-input' }),
  );
});

describe('an archive that names a path twice', () => {
  const f = (content: string) => `f 644 0:0 ${T} ${md5(content)}`;
  it.each<[string, EntrySketch[], Record<string, string>]>([
    [
      'the last file wins',
      [
        { path: 'f', content: 'one' },
        { path: 'g', content: 'g' },
        { path: './f', content: 'two' },
      ],
      { './f': f('two'), './g': f('g') },
    ],
    [
      'the last attributes of a directory win',
      [
        { path: 'd', type: 'directory', mode: 0o700 },
        { path: 'd/f', content: 'x' },
        { path: 'd', type: 'directory', uid: 9 },
      ],
      { './d': `d 755 9:0 ${T}`, './d/f': f('x') },
    ],
    [
      'a file replaces a directory and all in it',
      [
        { path: 'd/e/f', content: 'x' },
        { path: 'd', content: 'y' },
      ],
      { './d': f('y') },
    ],
    [
      'a directory replaces a file',
      [
        { path: 'd', content: 'y' },
        { path: 'd', type: 'directory' },
        { path: 'd/f', content: 'x' },
      ],
      { './d': `d 755 0:0 ${T}`, './d/f': f('x') },
    ],
    [
      'a hard link keeps the content that its target had',
      [
        { path: 'a', content: 'one' },
        { path: 'b', type: 'hardlink', linkPath: 'a' },
        { path: 'c', type: 'hardlink', linkPath: 'b' },
        { path: 'a', content: 'two' },
      ],
      { './a': f('two'), './b': f('one'), './c': `f 644 0:0 ${T} = ./b` },
    ],
    [
      'a hard link replaces a file',
      [
        { path: 'a', content: 'one' },
        { path: 'b', content: 'two' },
        { path: 'b', type: 'hardlink', linkPath: 'a' },
      ],
      { './a': f('one'), './b': `f 644 0:0 ${T} = ./a` },
    ],
  ])('%s', async (_, entries, expected) => {
    const bytes = tarOf(...entries);
    const layer = await convert(bytes);
    expect(layer.tree).toEqual({ '.': ROOT, ...expected });
    expect(layer.diffId).toBe(digestOf(bytes));
  });
});

describe('lower layers', () => {
  const lower: LowerLookup = lowerOf({
    tmp: lowerDirectory(0o1777),
    opt: lowerDirectory(0o700, 7),
    'opt/app': lowerDirectory(0o750, 8),
    usr: lowerDirectory(),
    'usr/lib': lowerDirectory(0o711),
    lib: { type: 'symlink', target: 'usr/lib' },
    loop: { type: 'symlink', target: 'loop' },
    file: { type: 'other' },
  });
  const x = `f 644 0:0 ${T} ${md5('x')}`;
  it.each<[string, EntrySketch[], Record<string, string>, boolean]>([
    [
      'give parents that are not in the archive their attributes',
      [{ path: 'opt/app/f', content: 'x' }],
      { './opt': 'd 700 7:7 @5', './opt/app': 'd 750 8:8 @5', './opt/app/f': x },
      true,
    ],
    [
      'say nothing of directories that are',
      [
        { path: 'tmp', type: 'directory', mode: 0o755 },
        { path: 'tmp/f', content: 'x' },
      ],
      { './tmp': `d 755 0:0 ${T}`, './tmp/f': x },
      false,
    ],
    [
      'lead on through their symlinks',
      [{ path: 'lib/f', content: 'x' }],
      { './usr': 'd 755 0:0 @5', './usr/lib': 'd 711 0:0 @5', './usr/lib/f': x },
      true,
    ],
    [
      'count for whiteouts too',
      [{ path: 'lib/.wh.f' }],
      { './usr': 'd 755 0:0 @5', './usr/lib': 'd 711 0:0 @5', './usr/lib/f': 'c 0 0:0 @0 0' },
      true,
    ],
    [
      'do not count below what the layer deletes',
      [{ path: '.wh.tmp' }, { path: 'tmp/f', content: 'x' }],
      { './tmp': `${ROOT} user.overlay.opaque=0x79`, './tmp/f': x },
      false,
    ],
    ['do not count for entries at the root', [{ path: 'f', content: 'x' }], { './f': x }, false],
  ])('%s', async (_, entries, expected, dependsOnLower) => {
    const layer = await convert(tarOf(...entries), { lower });
    expect(layer.tree).toEqual({ '.': ROOT, ...expected });
    expect(layer.dependsOnLower).toBe(dependsOnLower);
  });

  it('whose symlinks lead in circles are refused', () =>
    expect(convert(tarOf({ path: 'loop/f' }), { lower })).rejects.toMatchObject({ code: 'invalid-input' }));
});

describe('hostile archives', () => {
  afterEach(() => expect(existsSync(output)).toBe(false));
  it.each<[string, EntrySketch[]]>([
    ['a path that climbs out', [{ path: '../etc/passwd' }]],
    ['a path that climbs out on a detour', [{ path: 'a/../../etc' }]],
    ['a hard link to nothing', [{ path: 'a', type: 'hardlink', linkPath: 'b' }]],
    ['a hard link out of the root', [{ path: 'a', type: 'hardlink', linkPath: '../../etc/passwd' }]],
    ['a hard link to itself', [{ path: 'a', type: 'hardlink', linkPath: 'a' }]],
    ['a hard link to a file and its own name', [{ path: 'a' }, { path: 'a', type: 'hardlink', linkPath: 'a' }]],
    [
      'hard links in a circle',
      [
        { path: 'a', type: 'hardlink', linkPath: 'b' },
        { path: 'b', type: 'hardlink', linkPath: 'a' },
      ],
    ],
    [
      'a hard link to a directory',
      [
        { path: 'd', type: 'directory' },
        { path: 'a', type: 'hardlink', linkPath: 'd' },
      ],
    ],
    ['a file below a file', [{ path: 'f' }, { path: 'f/g' }]],
    ['a file below a symlink to itself', [{ path: 's', type: 'symlink', linkPath: 's' }, { path: 's/g' }]],
    ['a file as the root', [{ path: '.' }]],
    ['a name of 257 bytes', [{ path: 'n'.repeat(257) }]],
    ['a directory name of 257 bytes', [{ path: `${'n'.repeat(257)}/f` }]],
    ['a symlink of 64 KiB', [{ path: 's', type: 'symlink', linkPath: 'l'.repeat(65_536) }]],
    ['a symlink to nowhere', [{ path: 's', type: 'symlink', linkPath: '' }]],
    ['a path of 64 KiB', [{ path: `${'a/'.repeat(32_768)}f` }]],
    ['a device beyond 32 bits', [{ path: 'd', type: 'char', deviceMajor: 1, deviceMinor: 0o7777777 }]],
  ])('%s', async (_, entries) => {
    await expect(convert(tarOf(...entries))).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('hard links say both names', () =>
    expect(convert(tarOf({ path: 'here', type: 'hardlink', linkPath: 'there' }))).rejects.toMatchObject({
      facts: { path: 'here', target: 'there' },
    }));

  it.each<[TarCompression, Buffer]>([
    ['gzip', Buffer.from('no gzip')],
    ['gzip', gzipSync(tarOf({ path: 'f', content: 'x'.repeat(9000) })).subarray(0, 60)],
    ['zstd', Buffer.from('no zstd at all')],
    ['zstd', execFileSync('zstd', ['-c'], { input: tarOf({ path: 'f' }) }).subarray(0, 40)],
    ['none', Buffer.from('no tar')],
  ])('a broken %s stream', (compression, bytes) =>
    expect(convert(bytes, { compression })).rejects.toMatchObject({ code: 'invalid-input' }),
  );

  it('a failure of the source passes through', async () => {
    const source = async function* () {
      yield tarOf({ path: 'f', content: 'x'.repeat(5000) }).subarray(0, 2000);
      throw new StkError('integrity', 'the blob does not match');
    };
    await expect(convert(Buffer.alloc(0), { source })).rejects.toMatchObject({ code: 'integrity' });
    const zstd = async function* () {
      yield execFileSync('zstd', ['-c'], { input: tarOf({ path: 'f' }) }).subarray(0, 20);
      throw new StkError('network', 'gone');
    };
    await expect(convert(Buffer.alloc(0), { source: zstd, compression: 'zstd' })).rejects.toMatchObject({
      code: 'network',
    });
    await expect(convert(Buffer.alloc(0), { source: zstd, compression: 'gzip' })).rejects.toBeInstanceOf(StkError);
  });

  it('a signal ends it', async () => {
    const controller = new AbortController();
    const bytes = tarOf({ path: 'f', content: 'x'.repeat(3_000_000) });
    const source = async function* () {
      yield bytes.subarray(0, 1_000_000);
      controller.abort();
      yield bytes.subarray(1_000_000);
    };
    for (const compression of ['none', 'gzip'] as const) {
      const failing = convert(bytes, { source, compression, signal: controller.signal });
      await expect(failing).rejects.toBeInstanceOf(StkError);
    }
  });

  it('more content than allowed, stored or in holes', async () => {
    const holes = tarHeader(tarEntry({ path: 'f', sizeBytes: 1e12, sparse: [{ offset: 0, length: 0 }] }));
    await expect(convert(holes)).rejects.toMatchObject({ code: 'invalid-input' });
    const stored = tarOf({ path: 'f', content: 'x'.repeat(2000) });
    await expect(convert(stored, { maxContentBytes: 1000 })).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('any change of an archive gives an image or a clear error', async () => {
    const base = tarOf(
      { path: 'd', type: 'directory' },
      { path: 'd/f', content: 'hello', xattrs: new Map([['user.x', Buffer.from('y')]]) },
      { path: 'd/.wh.g' },
      { path: 'l', type: 'hardlink', linkPath: 'd/f' },
      { path: 's', type: 'symlink', linkPath: 'd' },
      { path: 's/h', content: 'x' },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { maxLength: 5 }), async flips => {
        const bytes = Buffer.from(base);
        for (const [at, value] of flips) bytes[at] = value;
        for (let at = 0; at + 512 <= bytes.length; at += 512) {
          const block = bytes.subarray(at, at + 512);
          if (block.toString('latin1', 257, 262) !== 'ustar') continue;
          block.write('        ', 148, 'latin1');
          block.write(
            `${block
              .reduce((sum, byte) => sum + byte, 0)
              .toString(8)
              .padStart(6, '0')}\0 `,
            148,
            'latin1',
          );
        }
        const failure = await convert(bytes).then(
          () => undefined,
          (error: unknown) => error,
        );
        if (failure !== undefined) expect(failure).toBeInstanceOf(StkError);
        run('rm', '-f', output);
      }),
      { numRuns: 40 },
    );
  });
});

it('holes stay holes', async () => {
  const sparse = [
    { offset: 5_000_000_000, length: 3 },
    { offset: 9_000_000_000, length: 4 },
  ];
  const header = tarHeader(tarEntry({ path: 'big', sizeBytes: 20_000_000_000, sparse }));
  const bytes = Buffer.concat([header, Buffer.from('abcdefg'), Buffer.alloc(505 + 1024)]);
  await convertTarLayer({
    source: () => chunked(bytes),
    compression: 'none',
    output,
    options: quickOptions,
    lower: emptyLower,
  });
  expect(readFileSync(output).length).toBeLessThan(100_000);
  const listing = run('unsquashfs', '-lln', output);
  expect(listing).toContain('20000000000');
  using mount = temporaryDirectory();
  run('mount', '-t', 'squashfs', '-o', 'loop,ro', output, mount.toString());
  try {
    const part = (skip: number, count: number) =>
      execFileSync('dd', [`if=${mount}/big`, 'iflag=skip_bytes,count_bytes', `skip=${skip}`, `count=${count}`], {
        stdio: 'pipe',
      });
    expect(part(5_000_000_000, 4).toString('latin1')).toBe('abc\0');
    expect(part(9_000_000_000, 5).toString('latin1')).toBe('defg\0');
  } finally {
    run('umount', mount.toString());
  }
});
