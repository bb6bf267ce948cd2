import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { snapshotUpper } from './commit-upper.ts';

/** While true, the next directory that is about to be locked goes, as if a commit beside it had come first. */
const sweep = vi.hoisted(() => ({ next: false }));
vi.mock(import('../host/file-lock.ts'), async original => {
  const real = await original();
  return {
    ...real,
    tryLockFile: async (directory, ...rest) => {
      if (sweep.next) await rm(directory, { recursive: true });
      sweep.next = false;
      return real.tryLockFile(directory, ...rest);
    },
  };
});

let directory: string;
let upper: AbsPath;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'stk-snapshot-'));
  upper = path.join(directory, 'upper') as AbsPath;
  await mkdir(upper);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

it('is whole, though a commit beside it takes what is not locked yet', async () => {
  await writeFile(path.join(upper, 'file'), '');
  sweep.next = true;
  const snapshot = await snapshotUpper(upper);
  expect(sweep.next).toBe(false);
  expect(await readdir(snapshot.path)).toEqual(['file']);
  await using beside = await snapshotUpper(upper);
  expect(await readdir(snapshot.path)).toEqual(['file']);
  await snapshot[Symbol.asyncDispose]();
  expect(await readdir(beside.path)).toEqual(['file']);
  await beside[Symbol.asyncDispose]();
  expect(await readdir(directory)).toEqual(['upper']);
});
