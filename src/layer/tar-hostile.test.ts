import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import {
  convertTar,
  fixChecksums,
  run,
  tarEntry,
  tarOf,
  temporaryDirectory,
  type EntrySketch,
} from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { TarCompression } from '../oci/media-types.ts';
import { LayerScan } from './layer-scan.ts';
import { LayerTree } from './layer-tree.ts';
import { emptyLower } from './lower-tree.ts';
import type { ConvertTarRequest } from './tar-to-squashfs.ts';
import { paxRecord } from './tar-pax.ts';
import { TAR_END, tarHeader } from './tar-writer.ts';

requires('root', 'tool:tar2sqfs', 'tool:unsquashfs', 'tool:getfattr', 'tool:zstd');

const directory = temporaryDirectory();
const output = `${directory}/layer` as AbsPath;
afterAll(() => directory[Symbol.dispose]());

/** Three megabytes. */
const incompressible = tarOf({ path: 'f', content: randomBytes(3_000_000).toString('latin1') });

/** An extended header of one kind, pax records in its body. */
function paxHeader(typeFlag: 'x' | 'g', ...records: readonly Buffer[]): Buffer {
  const content = Buffer.concat(records).toString('latin1');
  const bytes = tarOf({ path: 'header', content });
  bytes[156] = typeFlag.charCodeAt(0);
  fixChecksums(bytes);
  return bytes.subarray(0, bytes.length - TAR_END.length);
}

const convert = (bytes: Buffer, more: Partial<ConvertTarRequest> = {}) => convertTar(bytes, output, more);

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
    ['a name of 256 bytes', [{ path: 'n'.repeat(256) }]],
    ['a directory name of 256 bytes', [{ path: `${'n'.repeat(256)}/f` }]],
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

  it('a sparse map that never ends', () => {
    const map = tarOf({ path: 'f', content: '1'.repeat(16 * 1024 * 1024) });
    const records = [paxRecord('GNU.sparse.major', '1'), paxRecord('GNU.sparse.minor', '0')];
    return expect(
      convert(Buffer.concat([paxHeader('x', ...records, paxRecord('GNU.sparse.realsize', '5')), map])),
    ).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('a long path for each of many files takes no memory for each', async () => {
    const deep = `${'d'.repeat(250)}/`.repeat(120).slice(0, -1);
    const tree = new LayerTree(emptyLower);
    const scan = new LayerScan(tree, { maxContentBytes: 0, marks: true });
    await scan.add(tarEntry({ path: deep, type: 'directory' }));
    await scan.add(tarEntry({ path: 's', type: 'symlink', linkPath: deep }));
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    collect();
    const before = process.memoryUsage().heapUsed;
    for (let index = 0; index < 5000; index++) await scan.add(tarEntry({ path: `s/${index}` }));
    collect();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(20 * 1024 * 1024);
    expect(scan.survivors().size).toBe(5001);
  });

  it('names and targets that would fill the memory', async () => {
    const tree = new LayerTree(emptyLower);
    const scan = new LayerScan(tree, { maxContentBytes: 0, marks: true });
    const linkPath = 'l'.repeat(65_000);
    const fill = async () => {
      for (let index = 0; index < 5000; index++)
        await scan.add(tarEntry({ path: `${index}`, type: 'symlink', linkPath }));
    };
    await expect(fill()).rejects.toMatchObject({ code: 'unsupported' });
  });

  it('global headers without end', async () => {
    const headers = Array.from({ length: 20 }, (_, index) =>
      paxHeader('g', paxRecord(`comment${index}`, Buffer.alloc(500_000, 'x'))),
    );
    const bytes = Buffer.concat([...headers, tarOf({ path: 'f' })]);
    await expect(convert(bytes)).rejects.toMatchObject({ code: 'invalid-input' });
  });

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
    const gzip = async function* () {
      yield gzipSync(incompressible).subarray(0, 20_000);
      throw new StkError('network', 'gone');
    };
    await expect(convert(Buffer.alloc(0), { source: gzip, compression: 'gzip' })).rejects.toMatchObject({
      code: 'network',
    });
  });

  it('a signal ends it', async () => {
    for (const compression of ['none', 'gzip'] as const) {
      const controller = new AbortController();
      const bytes = compression === 'gzip' ? gzipSync(incompressible) : incompressible;
      const source = async function* () {
        yield bytes.subarray(0, 1_000_000);
        controller.abort();
        yield bytes.subarray(1_000_000);
      };
      const failing = convert(bytes, { source, compression, signal: controller.signal });
      await expect(failing).rejects.toMatchObject({ code: 'interrupted' });
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
        fixChecksums(bytes);
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
