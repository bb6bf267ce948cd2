import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { requires } from '../../test/rig/gates.ts';
import type { AbsPath } from '../core/paths.ts';
import { readTreeXattrs, readXattr, removeXattrs, setXattrs } from './tree-xattrs.ts';
import { findCharacterDevices } from './walk-tree.ts';

requires('tool:getfattr', 'tool:setfattr');

/** Not UTF-8, and with what tools quote. */
const ODD = 'd/\xff=\\\n ö';

let root: AbsPath;
beforeEach(async () => {
  root = (await mkdtemp('/var/tmp/stk-xattrs-')) as AbsPath;
});
afterEach(() => rm(root, { recursive: true, force: true }));

function script(text: string): string {
  return execFileSync('sh', ['-ec', text], { cwd: root, env: { LC_ALL: 'C', PATH: process.env['PATH'] } }).toString(
    'latin1',
  );
}

async function found(names: RegExp): Promise<Record<string, Record<string, string>>> {
  const entries: Record<string, Record<string, string>> = {};
  for await (const { path: file, xattrs } of readTreeXattrs(root, names)) {
    entries[file] = Object.fromEntries([...xattrs].map(([name, value]) => [name, value.toString('latin1')]));
  }
  return entries;
}

describe('xattrs of a tree', () => {
  it('are those that setfattr set, whose names match, on files of any name', async () => {
    script(`mkdir d d/e; odd=$(printf 'd/\\377=\\\\\\n \\303\\266'); echo x > "$odd"; echo y > d/e/f; echo z > none
      setfattr -n user.mark -v 0x00ff0a3d "$odd"; setfattr -n user.mark d/e/f; setfattr -n user.other -v o d/e/f
      setfattr -n user.mark -v top .; setfattr -n user.other -v o d`);
    const odd = Buffer.from(ODD.replace('ö', '\xc3\xb6'), 'latin1').toString('latin1');
    expect(await found(/^user\.mark$/)).toEqual({
      '.': { 'user.mark': 'top' },
      [odd]: { 'user.mark': '\0\xff\n=' },
      'd/e/f': { 'user.mark': '' },
    });
    expect(Object.keys(await found(/^user\./)).sort()).toEqual(['.', 'd', 'd/e/f', odd].sort());
  });

  it('are not looked for behind symlinks', async () => {
    script('mkdir d; echo x > d/f; setfattr -n user.mark -v 1 d/f; ln -s d/f link; ln -s d ring; ln -s nowhere s');
    expect(await found(/^user\./)).toEqual({ 'd/f': { 'user.mark': '1' } });
  });

  it('are set and removed under all names of many files, and getfattr sees it', async () => {
    script('mkdir d; echo x > d/a; ln d/a d/b; printf "" > "$(printf \'d/\\377\')"');
    setXattrs(root, 'user.mark', Buffer.from([0, 1, 255]), ['.', 'd/a', 'd/\xff']);
    const shown = () => script('getfattr -Rhd -e hex -m user.mark . | grep -c user.mark= || true').trim();
    expect(shown()).toBe('4');
    expect(script('getfattr -e hex --only-values -n user.mark d/b')).toBe('\0\x01\xff');
    removeXattrs(root, 'user.mark', ['.', 'd/a', 'd/b', 'd/\xff', 'd']);
    expect(shown()).toBe('0');
  });

  it('has the largest value that the filesystem takes', async () => {
    script('echo x > f');
    const value = Buffer.alloc(3000, 'ab');
    setXattrs(root, 'user.large', value, ['f']);
    expect(readXattr(path.join(root, 'f') as AbsPath, 'user.large')).toEqual(value);
    expect(() => setXattrs(root, 'user.large', Buffer.alloc(65_537), ['f'])).toThrow(/E2BIG|ENOSPC/);
  });

  it('fail with the path and errno', () => {
    expect(() => setXattrs(root, 'user.mark', Buffer.from('x'), ['absent'])).toThrow(/absent: .*ENOENT/);
    expect(() => removeXattrs(root, 'user.mark', ['absent'])).toThrow(/absent: .*ENOENT/);
    expect(() => setXattrs(root, 'no-such-space', Buffer.from('x'), ['.'])).toThrow(/EOPNOTSUPP/);
    expect(() => setXattrs(root, 'user.a\0b', Buffer.from('x'), ['.'])).toThrow(/NUL/);
  });
});

describe('one xattr', () => {
  it('is undefined where the file has none of its name, or is absent', async () => {
    script('echo x > f; setfattr -n user.mark -v 1 f');
    const file = path.join(root, 'f') as AbsPath;
    expect(readXattr(file, 'user.mark')?.toString()).toBe('1');
    expect(readXattr(file, 'user.other')).toBeUndefined();
    expect(readXattr(`${file}/g` as AbsPath, 'user.mark')).toBeUndefined();
    expect(readXattr('/proc/self/stat' as AbsPath, 'user.mark')).toBeUndefined();
  });
});

describe('the character devices of a tree', () => {
  requires('root');

  it('are found at any depth, by find(1) as well', async () => {
    script(
      'mkdir -p d/e; mknod d/e/w c 0 0; mknod "$(printf \'d/\\377\')" c 1 3; mknod b b 7 1; mkfifo p; ln -s /dev/null l',
    );
    await chmod(root, 0o755);
    const expected = script("find . -mindepth 1 -type c -printf '%P\\0'").split('\0').slice(0, -1);
    expect([...(await findCharacterDevices(root))].sort()).toEqual(expected.sort());
    expect(expected).toHaveLength(2);
  });
});
