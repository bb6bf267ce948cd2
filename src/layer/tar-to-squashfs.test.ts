import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import type { TarCompression } from '../oci/media-types.ts';
import {
  chunked,
  convertTar,
  hostTree,
  quickOptions,
  run,
  tarEntry,
  tarOf,
  temporaryDirectory,
  type EntrySketch,
} from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import { emptyLower } from './lower-tree.ts';
import { convertTarLayer, type ConvertTarRequest } from './tar-to-squashfs.ts';
import { tarHeader } from './tar-writer.ts';

requires('root', 'kernel-squashfs', 'tool:tar2sqfs', 'tool:unsquashfs', 'tool:setfattr', 'tool:zstd');

const directory = temporaryDirectory();
const output = `${directory}/layer` as AbsPath;
afterAll(() => directory[Symbol.dispose]());

const convert = (bytes: Buffer, more: Partial<ConvertTarRequest> = {}) => convertTar(bytes, output, more);

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
