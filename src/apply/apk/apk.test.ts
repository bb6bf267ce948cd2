import { execa } from 'execa';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fakeContext, mergePath, outcomeText, type TreeFiles } from '../../../test/rig/merge-versions.ts';
import type { ConflictResolution } from '../../recipe/model.ts';
import { compareApkVersions } from './apk-version.ts';
import { apk } from './apk.ts';

const INSTALLED = 'lib/apk/db/installed';

function entry(name: string, version: string, ...files: readonly string[]): string {
  const listed = files.map(file => `F:${path.dirname(file)}\nR:${path.basename(file)}\nZ:Q1x=\n`).join('');
  return `C:Q1${name}${version.replace(/\W/g, '')}=\nP:${name}\nV:${version}\nA:x86_64\n${listed}\n`;
}

const BASE = entry('busybox', '1.36-r0', 'bin/busybox') + entry('musl', '1.2.4-r1', 'lib/libc.so');

async function merge(file: string, ancestor: string, one: string, two: string): Promise<string> {
  const sides = { ssl: { [file]: one }, python3: { [file]: two } };
  return outcomeText(await mergePath(apk, file, { ancestor: { [file]: ancestor }, sides }));
}

async function survey(ancestor: TreeFiles, sides: Record<string, TreeFiles>, rule?: ConflictResolution) {
  return apk.survey!(fakeContext({ ancestor, sides, rules: rule ? { [INSTALLED]: rule } : {} }));
}

describe('apk', () => {
  it('unites packages in the order of names, as apk writes them', async () => {
    const one =
      entry('busybox', '1.36-r0', 'bin/busybox') + entry('musl', '1.2.4-r1', 'lib/libc.so') + entry('ssl', '3-r0');
    const two =
      entry('busybox', '1.36-r0', 'bin/busybox') + entry('libpy', '1-r0') + entry('musl', '1.2.4-r1', 'lib/libc.so');
    const expected =
      entry('busybox', '1.36-r0', 'bin/busybox') +
      entry('libpy', '1-r0') +
      entry('musl', '1.2.4-r1', 'lib/libc.so') +
      entry('ssl', '3-r0');
    expect(await merge(INSTALLED, BASE, one, two)).toBe(expected);
  });

  it('keeps an order that is not that of names', async () => {
    const base = entry('z', '1') + entry('a', '1');
    expect(await merge(INSTALLED, base, base + entry('c', '1'), base + entry('b', '1'))).toBe(
      base + entry('c', '1') + entry('b', '1'),
    );
  });

  it('respects removals and upgrades of one side', async () => {
    const one = entry('musl', '1.2.4-r1', 'lib/libc.so');
    const two = BASE.replace('1.2.4-r1', '1.2.5-r0');
    expect(await merge(INSTALLED, BASE, one, two)).toBe(two.slice(two.indexOf('C:Q1musl')));
  });

  it('reports two versions, and removed against changed, once each', async () => {
    const one = { [INSTALLED]: entry('busybox', '1.37-r0', 'bin/busybox') };
    const two = { [INSTALLED]: entry('busybox', '1.36-r9', 'bin/busybox') + entry('musl', '1.2.5-r0', 'lib/libc.so') };
    const { conflicts, owners } = await survey({ [INSTALLED]: BASE }, { ssl: one, python3: two });
    expect(owners.size).toBe(0);
    expect(conflicts.map(({ reason }) => reason.message)).toEqual([
      'the package busybox is 1.37-r0 in ssl and 1.36-r9 in python3',
      'the package musl is removed by ssl and 1.2.5-r0 in python3',
    ]);
    expect(conflicts[0]).toMatchObject({ path: INSTALLED, sides: [0, 1], reason: { remedies: ['newer'] } });
    expect((await survey({ [INSTALLED]: BASE }, { ssl: one, python3: two }, 'last')).conflicts).toEqual([]);
  });

  it('gives all files of a package to the side with the newer version, scripts and triggers, too', async () => {
    const ancestor: TreeFiles = { [INSTALLED]: BASE };
    const one = await withScripts(entry('ssl', '1.10-r0', 'usr/lib/ssl/a', 'usr/lib/ssl/new'), [
      'ssl-1.10-r0.Q1ssl110r0=.post-install',
    ]);
    const two = await withScripts(entry('ssl', '1.9-r0', 'usr/lib/ssl/a', 'usr/lib/ssl/old'), [
      'ssl-1.9-r0.Q1ssl19r0=.post-install',
      'py-1-r0.Q1py1r0=.trigger',
    ]);
    const rules: Record<string, ConflictResolution> = { [INSTALLED]: 'newer' };
    const problem = { ancestor, sides: { one, two }, rules };
    const { owners, conflicts } = await apk.survey!(fakeContext(problem));
    expect(conflicts).toEqual([]);
    expect([...owners]).toEqual(['usr/lib/ssl/a', 'usr/lib/ssl/new', 'usr/lib/ssl/old'].map(file => [file, 0]));
    expect(outcomeText(await mergePath(apk, INSTALLED, problem))).toContain('V:1.10-r0');
    const scripts = await mergePath(apk, 'lib/apk/db/scripts.tar', problem);
    expect(await listTar(scripts.type === 'content' ? scripts.bytes : new Uint8Array())).toEqual([
      'ssl-1.10-r0.Q1ssl110r0=.post-install',
      'py-1-r0.Q1py1r0=.trigger',
    ]);
    const triggers = await mergePath(apk, 'lib/apk/db/triggers', problem);
    expect(outcomeText(triggers)).toBe('Q1ssl110r0= /usr\nQ1py1r0= /usr\n');
  });

  it('takes the last record of one version', async () => {
    const one = BASE + entry('ssl', '1-r0').replace('A:x86_64', 't:1');
    const two = BASE + entry('ssl', '1-r0').replace('A:x86_64', 't:2');
    expect(await merge(INSTALLED, BASE, one, two)).toBe(two);
  });

  it.each([
    ['cut', BASE.slice(0, -20)],
    ['no fields', `${BASE}hello\n\n`],
    ['no version', `${BASE}P:x\n\n`],
    ['twice', BASE + BASE],
    ['NUL', `${BASE}P:\0\nV:1\n\n`],
  ])('reports a damaged database: %s', async (_what, bad) => {
    expect(await merge(INSTALLED, BASE, BASE + entry('a', '1'), bad)).toMatch(/^conflict: .* of python3 is damaged/);
  });

  it.each([
    ['a\nb\n', 'a\nb\nd\n', 'a\nb\nc>1\n', 'a\nb\nc>1\nd\n'],
    ['a\nb\n', 'a\n', 'a\nb\nc@edge\n', 'a\nc@edge\n'],
    ['b\na\n', 'b\na\nz\n', 'b\na\nc\n', 'b\na\nz\nc\n'],
    ['a b', 'a b c', 'a b d', 'a\nb\nc\nd\n'],
  ])('merges the world %j, %j and %j', async (ancestor, one, two, expected) => {
    expect(await merge('etc/apk/world', ancestor, one, two)).toBe(expected);
  });

  it('reports a package that is asked for differently', async () => {
    expect(await merge('etc/apk/world', '', 'a=1\n', 'a=2\n')).toBe(
      'conflict: /etc/apk/world asks for a=1 in ssl and a=2 in python3',
    );
  });

  it('reads archives of scripts that tar and gzip made, compressed or not', async () => {
    const [one, two] = [
      await makeTar({ 'a.Q1a=.post-install': '1' }),
      await makeTar({ 'b.Q1b=.post-install': '2'.repeat(600) }),
    ];
    const plain = await mergePath(apk, 'lib/apk/db/scripts.tar', {
      ancestor: {},
      sides: { one: { 'lib/apk/db/scripts.tar': one }, two: { 'lib/apk/db/scripts.tar': two } },
    });
    const file = 'usr/lib/apk/db/scripts.tar.gz';
    const packed = await mergePath(apk, file, {
      ancestor: {},
      sides: { one: { [file]: gzipSync(one) }, two: { [file]: gzipSync(two) } },
    });
    if (plain.type !== 'content' || packed.type !== 'content') throw new Error(outcomeText(plain));
    expect(await listTar(plain.bytes)).toEqual(['a.Q1a=.post-install', 'b.Q1b=.post-install']);
    expect(gunzipSync(packed.bytes).equals(Buffer.from(plain.bytes))).toBe(true);
  });

  it.each([
    ['cut', (tar: Buffer) => tar.subarray(0, 700)],
    ['a wrong checksum', (tar: Buffer) => Buffer.concat([Buffer.from('x'), tar.subarray(1)])],
    ['text', () => Buffer.alloc(512, 'hello')],
  ])('reports damaged scripts: %s', async (_what, damage) => {
    const good = await makeTar({ 'a.Q1a=.post-install': '1' });
    const file = 'lib/apk/db/scripts.tar';
    const sides = { one: { [file]: damage(good) }, two: { [file]: await makeTar({ 'b.Q1b=.x': '2' }) } };
    expect(outcomeText(await mergePath(apk, file, { ancestor: { [file]: good }, sides }))).toMatch(
      /^conflict: .* of one is damaged/,
    );
  });

  it('refuses compressed scripts that grow without end', async () => {
    const file = 'lib/apk/db/scripts.tar.gz';
    const sides = { one: { [file]: gzipSync(Buffer.alloc(80 * 1024 * 1024)) }, two: { [file]: gzipSync('') } };
    expect(outcomeText(await mergePath(apk, file, { ancestor: {}, sides }))).toMatch(/^conflict: .* of one is damaged/);
  });
});

describe('compareApkVersions', () => {
  it.each([
    '1.0_alpha < 1.0_alpha1 < 1.0_beta < 1.0_pre < 1.0_rc1 < 1.0_rc2 < 1.0-r0 < 1.0-r1 < 1.0-r10 < 1.0_p1 < 1.0a < 1.0.1 < 1.2 < 1.10 < 2',
    '1.001 < 1.01 < 1.1',
    '9 < 10 < 10.0',
    '1.0_git20200101 < 1.0_p1 < 1.0_p10',
    'bogus < 0',
  ])('%s', line => {
    const versions = line.split(' < ');
    for (const [i, older] of versions.entries()) {
      for (const newer of versions.slice(i + 1)) {
        expect([older, newer, Math.sign(compareApkVersions(older, newer))]).toEqual([older, newer, -1]);
        expect(Math.sign(compareApkVersions(newer, older))).toBe(1);
      }
      expect(compareApkVersions(older, older)).toBe(0);
    }
  });

  it('orders whatever it is given', () => {
    const version = fc.stringMatching(/^[0-9]{1,2}(\.[0-9]{1,2}){0,2}[a-c]?(_(rc|p|alpha)[0-9]?){0,2}(-r[0-9])?$/);
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        expect(Math.sign(compareApkVersions(a, b))).toBe(-Math.sign(compareApkVersions(b, a)) + 0);
        const [x, y, z] = [a, b, c].toSorted(compareApkVersions);
        expect(compareApkVersions(x!, y!)).toBeLessThanOrEqual(0);
        expect(compareApkVersions(x!, z!)).toBeLessThanOrEqual(0);
      }),
    );
  });
});

async function withScripts(records: string, names: readonly string[]): Promise<TreeFiles> {
  const scripts = await makeTar(Object.fromEntries(names.map(name => [name, name])));
  const triggers = names.map(name => `${/Q1\w+=/.exec(name)![0]} /usr\n`).join('');
  const others = names.filter(name => name.startsWith('py')).map(() => entry('py', '1-r0'));
  return {
    [INSTALLED]: BASE + others.join('') + records,
    'lib/apk/db/scripts.tar': scripts,
    'lib/apk/db/triggers': triggers,
  };
}

async function makeTar(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'stk-apk-'));
  try {
    for (const [name, content] of Object.entries(files)) await writeFile(path.join(directory, name), content);
    const archive = path.join(directory, '../', `${path.basename(directory)}.tar`);
    await execa('tar', ['-cf', archive, '-C', directory, '--owner=0', '--group=0', ...Object.keys(files)]);
    const bytes = await readFile(archive);
    await rm(archive);
    return bytes;
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function listTar(bytes: Uint8Array): Promise<string[]> {
  const { stdout } = await execa('tar', ['-t'], { input: bytes });
  return stdout.split('\n');
}
