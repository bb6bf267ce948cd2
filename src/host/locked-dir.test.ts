import { lstat, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import type * as FileLocks from './file-lock.ts';
import { makeLockedDir, sweepUnlocked } from './locked-dir.ts';

type TryLock = typeof FileLocks.tryLockFile;
const hook = vi.hoisted(() => ({
  around: undefined as ((path: AbsPath, real: TryLock) => ReturnType<TryLock>) | undefined,
}));

vi.mock(import('./file-lock.ts'), async original => {
  const real = await original();
  return {
    ...real,
    tryLockFile: (path, ...rest) => {
      const { around } = hook;
      hook.around = undefined;
      return around ? around(path, real.tryLockFile) : real.tryLockFile(path, ...rest);
    },
  };
});

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(path.join(tmpdir(), 'stk-locked-'));
});
afterEach(() => rm(parent, { recursive: true, force: true }));

const remove = (directory: AbsPath) => rm(directory, { recursive: true });

describe('a directory that is made and locked', () => {
  it.each<[string, (path: AbsPath, real: TryLock) => ReturnType<TryLock>]>([
    [
      'before it is locked',
      async (directory, real) => {
        await sweepUnlocked(parent, ['x'], remove);
        return real(directory, 'exclusive');
      },
    ],
    [
      'while it is being locked',
      async (directory, real) => {
        await using _sweeper = await real(directory, 'exclusive');
        const lock = await real(directory, 'exclusive');
        await remove(directory);
        return lock;
      },
    ],
    [
      'after it was opened to be locked',
      async (directory, real) => {
        const lock = await real(directory, 'exclusive');
        await remove(directory);
        return lock;
      },
    ],
  ])('stands, though a sweep took its forerunner %s', async (_when, around) => {
    hook.around = around;
    await using lock = await makeLockedDir(parent, 'x');
    expect(hook.around).toBeUndefined();
    await sweepUnlocked(parent, ['x'], remove);
    expect((await lstat(lock.path)).isDirectory()).toBe(true);
    expect(await readdir(parent)).toEqual([path.basename(lock.path)]);
  });

  it('is not left behind where it cannot be locked', async () => {
    hook.around = () => Promise.reject(new Error('no locks here'));
    await expect(makeLockedDir(parent, 'x')).rejects.toThrow('no locks here');
    expect(await readdir(parent)).toEqual([]);
  });

  it('is not made once the signal has fired', async () => {
    await expect(makeLockedDir(parent, 'x', AbortSignal.abort())).rejects.toMatchObject({ code: 'interrupted' });
    expect(await readdir(parent)).toEqual([]);
  });
});

describe('a sweep', () => {
  it('clears directories of its prefixes that nobody holds, and nothing else', async () => {
    await using held = await makeLockedDir(parent, 'x');
    for (const name of ['x-aB3456', 'y-123456', 'z-123456', 'x-upper', 'xy']) await mkdir(path.join(parent, name));
    await symlink('xy', path.join(parent, 'x-linked'));
    await writeFile(path.join(parent, 'x-aafile'), '');
    await sweepUnlocked(parent, ['x', 'y'], remove);
    const rest = [path.basename(held.path), 'x-aafile', 'x-linked', 'x-upper', 'xy', 'z-123456'];
    expect((await readdir(parent)).toSorted()).toEqual(rest.toSorted());
  });

  it('of a directory that is missing finds nothing', async () => {
    await sweepUnlocked(path.join(parent, 'none'), ['x'], remove);
  });
});
