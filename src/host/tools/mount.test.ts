import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { requires } from '../../../test/rig/gates.ts';
import type { AbsPath } from '../../core/paths.ts';
import { findMount } from '../mount-table.ts';
import { detachAll, mountOverlay, mountSquashfsLoop, mountTmpfs, unmount } from './mount.ts';

requires('root', 'kernel-squashfs', 'tool:mksquashfs', 'tool:losetup');

let directory: AbsPath;
const at = (...names: readonly string[]) => path.join(directory, ...names) as AbsPath;
const tool = (file: string, ...args: readonly string[]) => execFileSync(file, args, { cwd: directory }).toString();

beforeEach(() => {
  directory = mkdtempSync('/var/tmp/stk-mounts-') as AbsPath;
  mkdirSync(at('mnt'));
});
afterEach(() => {
  for (const name of ['merged', 'mnt']) execFileSync('sh', ['-c', `umount -l ${at(name)} 2>/dev/null || true`]);
  rmSync(directory, { recursive: true });
});

function layer(name: string, content: string): AbsPath {
  mkdirSync(at(`${name}.d`));
  writeFileSync(at(`${name}.d/file`), content);
  tool('mksquashfs', at(`${name}.d`), at(name), '-quiet', '-no-progress');
  return at(name);
}

const loopsOf = (file: string) => tool('losetup', '--associated', file).trim();

describe('a squashfs through a loop device', () => {
  it('is mounted read-only and without devices, and takes its loop device away', async () => {
    const file = layer('a', 'one');
    await mountSquashfsLoop(file, at('mnt'));
    expect(readFileSync(at('mnt/file'), 'utf8')).toBe('one');
    expect(loopsOf(file)).toMatch(/^\/dev\/loop\d+: .*\(.*\/a\)$/);
    const device = /^[^:]+/.exec(loopsOf(file))![0];
    expect(tool('losetup', '--noheadings', '--output', 'RO,AUTOCLEAR', device).trim().split(/\s+/)).toEqual(['1', '1']);
    expect(tool('findmnt', '--noheadings', '--output', 'OPTIONS', at('mnt'))).toMatch(/^ro,nosuid,nodev\b/);
    await unmount(at('mnt'));
    expect(loopsOf(file)).toBe('');
  });

  it('leaves no loop device where the file is none', async () => {
    writeFileSync(at('junk'), Buffer.alloc(8192, 'x'));
    const mounting = mountSquashfsLoop(at('junk'), at('mnt'));
    await expect(mounting).rejects.toMatchObject({ code: 'tool-failed', facts: { errno: 'EINVAL', path: at('mnt') } });
    expect(loopsOf(at('junk'))).toBe('');
    expect(await findMount(at('mnt'))).toBeUndefined();
  });

  it('gives each of many that come at once a device of its own', async () => {
    const files = ['a', 'b', 'c', 'd', 'e', 'f'].map(name => layer(name, name));
    const targets = files.map(file => `${file}.mnt` as AbsPath);
    for (const target of targets) mkdirSync(target);
    await Promise.all(files.map((file, index) => mountSquashfsLoop(file, targets[index]!)));
    expect(targets.map(target => readFileSync(`${target}/file`, 'utf8')).join('')).toBe('abcdef');
    await detachAll(targets);
    expect(await Promise.all(targets.map(findMount))).toEqual(targets.map(() => undefined));
  });
});

describe('an overlay', () => {
  it('is mounted from names of its directory, and leaves this process where it was', async () => {
    for (const name of ['one', 'two', 'up', 'work', 'merged']) mkdirSync(at(name));
    writeFileSync(at('one/file'), '1');
    writeFileSync(at('two/file'), '2');
    for (const [name, to] of [
      ['0', 'one'],
      ['1', 'two'],
    ] as const)
      symlinkSync(at(to), at(name));
    const before = process.cwd();
    const overlay = {
      cwd: directory,
      lowers: ['0', '1'],
      upper: 'up',
      work: 'work',
      target: 'merged',
      source: 'stk-x',
    };
    await mountOverlay(overlay);
    expect(execFileSync('pwd').toString().trim()).toBe(before);
    expect(readFileSync(at('merged/file'), 'utf8')).toBe('1');
    expect(tool('findmnt', '--noheadings', '--output', 'SOURCE,OPTIONS', at('merged'))).toMatch(
      /^stk-x +rw,.*userxattr/,
    );
    writeFileSync(at('merged/new'), 'x');
    await unmount(at('merged'));
    expect(readFileSync(at('up/new'), 'utf8')).toBe('x');
    await mountOverlay({ cwd: directory, lowers: ['1', '0'], target: 'merged' });
    expect(readFileSync(at('merged/file'), 'utf8')).toBe('2');
    expect(() => writeFileSync(at('merged/new'), 'x')).toThrow(/EROFS/);
  });

  it('of a directory that is absent says so, and leaves this process where it was', async () => {
    const before = execFileSync('pwd').toString();
    const mounting = mountOverlay({ cwd: directory, lowers: ['absent', 'gone'], target: 'mnt' });
    await expect(mounting).rejects.toMatchObject({ code: 'tool-failed', facts: { errno: 'ENOENT' } });
    expect(execFileSync('pwd').toString()).toBe(before);
  });
});

describe('what is mounted', () => {
  it('in use is not unmounted, but detached', async () => {
    await mountTmpfs(at('mnt'), ['mode=0700', 'size=1m']);
    expect(tool('findmnt', '--noheadings', '--output', 'OPTIONS', at('mnt'))).toMatch(/nosuid,nodev.*mode=700/);
    writeFileSync(at('mnt/f'), 'x');
    const user = execFileSync('sh', ['-c', `exec 9<${at('mnt/f')}; sleep 600 >/dev/null 2>&1 & echo $!`]);
    try {
      await expect(unmount(at('mnt'))).rejects.toMatchObject({ facts: { errno: 'EBUSY' } });
      await unmount(at('mnt'), { lazy: true });
      expect(await findMount(at('mnt'))).toBeUndefined();
    } finally {
      process.kill(Number(user), 'SIGKILL');
    }
    await expect(unmount(at('mnt'))).rejects.toMatchObject({ facts: { errno: 'EINVAL' } });
    await expect(unmount(at('absent'))).rejects.toMatchObject({ facts: { errno: 'ENOENT' } });
  });

  it('behind a symlink stays', async () => {
    await mountTmpfs(at('mnt'), []);
    symlinkSync(at('mnt'), at('link'));
    await expect(unmount(at('link'))).rejects.toMatchObject({ facts: { errno: 'EINVAL' } });
    expect((await findMount(at('mnt')))?.type).toBe('tmpfs');
  });
});
