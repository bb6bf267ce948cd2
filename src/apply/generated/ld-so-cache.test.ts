import { execa } from 'execa';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requires } from '../../../test/rig/gates.ts';
import { encodeLibraryCache, parseLibraryCache, type LibraryEntry } from './ld-so-cache-format.ts';
import { compareLibraryNames, mergeLibraryCaches } from './ld-so-cache.ts';

let scratch: string;
/** Directory of the host's libraries, whatever its architecture. */
let libraries: string;

beforeAll(async () => {
  scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-ldconfig-'));
  const { stdout } = await execa('/sbin/ldconfig', ['-p']);
  libraries = path.dirname(/ => (\S+\/libc\.so\.6)$/m.exec(stdout)?.[1] ?? '/lib/libc.so.6');
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** Libraries below a directory of the root: real ones, by the beginning of their names. */
interface Placed {
  readonly directory: string;
  readonly names: readonly string[];
}

async function cacheOf(format: string, ...placed: readonly Placed[]): Promise<Buffer> {
  const root = await mkdtemp(path.join(scratch, 'root-'));
  await mkdir(path.join(root, 'etc'));
  const directories = new Set(placed.map(({ directory }) => directory.replace(/\/glibc-hwcaps.*/, '')));
  // The order of directories decides among libraries of one name.
  await writeFile(
    path.join(root, 'etc/ld.so.conf'),
    [...directories]
      .toSorted()
      .toReversed()
      .map(name => `/${name}\n`)
      .join(''),
  );
  const available = await readdir(libraries);
  for (const { directory, names } of placed) {
    const target = path.join(root, directory);
    await mkdir(target, { recursive: true });
    for (const file of available.filter(name => names.some(wanted => name.startsWith(`${wanted}.so`)))) {
      await cp(path.join(libraries, file), path.join(target, file), { verbatimSymlinks: true, recursive: true });
    }
  }
  await execa('/sbin/ldconfig', ['-r', root, '-c', format]);
  return readFile(path.join(root, 'etc/ld.so.cache'));
}

describe('mergeLibraryCaches', () => {
  requires('root');

  const base: Placed = { directory: 'lib/x', names: ['libc', 'libm', 'libdl'] };
  const zlib: Placed = { directory: 'lib/x', names: ['libz', 'liblzma'] };
  const other: Placed = { directory: 'usr/lib/y', names: ['libcrypt', 'libpthread', 'libresolv'] };
  const fast: Placed = { directory: 'lib/x/glibc-hwcaps/x86-64-v3', names: ['libz'] };
  const faster: Placed = { directory: 'lib/x/glibc-hwcaps/x86-64-v2', names: ['libm'] };
  const local: Placed = { directory: 'usr/local/lib', names: ['libz', 'libm'] };

  describe.each(['new', 'compat'])('in the format %s', format => {
    it.each<[string, readonly Placed[], readonly Placed[], readonly Placed[]]>([
      ['libraries of two sides', [base], [base, zlib], [base, other]],
      ['what one side took out', [base, zlib], [base], [base, zlib, other]],
      ['directories for capabilities', [base], [base, zlib, fast], [base, other, faster]],
      ['one name in two directories of one side', [base], [base, zlib, local], [base, other]],
      ['nothing below', [], [base, zlib], [other]],
    ])('writes what ldconfig writes for %s', async (_what, ancestor, one, two) => {
      const placed = new Set(
        [...ancestor, ...one, ...two].filter(
          item => !ancestor.includes(item) || (one.includes(item) && two.includes(item)),
        ),
      );
      const before = ancestor.length === 0 ? undefined : await cacheOf(format, ...ancestor);
      const sides = [await cacheOf(format, ...one), await cacheOf(format, ...two)];
      const merged = mergeLibraryCaches(before, sides);
      const expected = await cacheOf(format, ...placed);
      expect(merged).not.toBe('unknown');
      expect(Buffer.compare(merged as Buffer, expected)).toBe(0);
      expect(mergeLibraryCaches(before, sides.toReversed())).toEqual(merged);
      expect(mergeLibraryCaches(merged as Buffer, [merged as Buffer])).toEqual(merged);
    });
  });

  it('leaves to ldconfig what only the search path can decide', async () => {
    const here = await cacheOf('new', base, zlib);
    const there = await cacheOf('new', base, { ...zlib, directory: 'usr/local/lib' });
    expect(mergeLibraryCaches(await cacheOf('new', base), [here, there])).toBe('unknown');
  });

  it.each(['old'])('leaves the format %s to ldconfig', async format => {
    const [before, one, two] = [
      await cacheOf('new', base),
      await cacheOf(format, base, zlib),
      await cacheOf('new', base, other),
    ];
    expect(mergeLibraryCaches(before, [one, two])).toBe('unknown');
  });

  it('leaves to ldconfig what is damaged', async () => {
    const [before, good] = [await cacheOf('new', base), await cacheOf('new', base, zlib)];
    for (const bad of [
      Buffer.alloc(0),
      Buffer.from('hello'),
      good.subarray(0, 40),
      good.subarray(0, good.length - 1),
      Buffer.concat([good, good]),
    ]) {
      expect(mergeLibraryCaches(before, [bad, good])).toBe('unknown');
    }
    for (let at = 0; at < good.length - 4; at += 7) {
      const bad = Buffer.from(good);
      bad.fill(0xff, at, at + 4);
      expect(() => mergeLibraryCaches(before, [bad, good])).not.toThrow();
    }
  });
});

const entries = fc.array(
  fc.record({
    name: fc.stringMatching(/^lib[a-c]{1,3}\.so\.[0-9]{1,2}$/),
    path: fc.stringMatching(/^\/lib\/[a-c]{1,3}\.so$/),
    flags: fc.integer({ min: -5, max: 0x303 }),
    osVersion: fc.nat(5),
    hwcap: fc.constant(0n),
    subdirectory: fc.option(fc.constantFrom('x86-64-v2', 'x86-64-v3', 'z14'), { nil: undefined }),
    isaLevel: fc.constant(0),
  }),
);

describe('the format of library caches', () => {
  it.each([
    ['new, little-endian', { hasOldTable: false, bigEndian: false, flags: 2, generator: 'test' }],
    ['new, big-endian', { hasOldTable: false, bigEndian: true, flags: 3, generator: 'test' }],
    ['both, big-endian', { hasOldTable: true, bigEndian: true, flags: 3, generator: 'test' }],
    ['both', { hasOldTable: true, bigEndian: false, flags: 2, generator: '' }],
  ])('reads what it writes: %s', (_what, layout) => {
    fc.assert(
      fc.property(entries, listed => {
        fc.pre(!layout.hasOldTable || listed.length > 0);
        expect(parseLibraryCache(encodeLibraryCache({ layout, entries: listed }))).toEqual({ layout, entries: listed });
      }),
    );
  });

  it('reads files of glibc before 2.33, whose entries have strings of their own', () => {
    const listed: LibraryEntry[] = ['a', 'a'].map(name => ({
      name,
      path: '/a',
      flags: 3,
      osVersion: 2,
      hwcap: 5n,
      subdirectory: undefined,
      isaLevel: 0,
    }));
    const layout = { hasOldTable: true, bigEndian: false, flags: 0, generator: undefined };
    const bytes = encodeLibraryCache({ layout, entries: listed });
    expect(bytes.toString('latin1')).toMatch(/\0a\0\/a\0a\0\/a\0$/);
    expect(parseLibraryCache(bytes)).toEqual({ layout, entries: listed });
  });

  it('compares names as the dynamic linker does', () => {
    const ascending = ['', 'lib.so', 'liba.so', 'liba.so.1', 'liba.so.2', 'liba.so.10', 'libb.so'];
    for (const [i, a] of ascending.entries()) {
      for (const [j, b] of ascending.entries()) expect(Math.sign(compareLibraryNames(a, b))).toBe(Math.sign(i - j));
    }
    expect(compareLibraryNames('liba.so.01', 'liba.so.1')).toBe(0);
    expect(compareLibraryNames('lib1.so', 'libz.so')).toBe(1);
  });
});
