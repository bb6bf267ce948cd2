import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { digestOf } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { createContainer, removeContainer } from './container-record.ts';

/** While true, the next thing beside the containers that is about to be locked goes: a sweep came first. */
const sweep = vi.hoisted(() => ({ next: false }));
vi.mock(import('../host/file-lock.ts'), async original => {
  const real = await original();
  return {
    ...real,
    tryLockFile: async (directory, ...rest) => {
      if (sweep.next && path.basename(directory).startsWith('.')) {
        sweep.next = false;
        await rm(directory, { recursive: true });
      }
      return real.tryLockFile(directory, ...rest);
    },
  };
});

let home: AbsPath;
beforeEach(async () => {
  home = (await mkdtemp(path.join(tmpdir(), 'stk-containers-'))) as AbsPath;
});
afterEach(() => rm(home, { recursive: true, force: true }));

const make = (name: string) =>
  createContainer(home, {
    name,
    layout: home,
    tag: 'app',
    digest: digestOf(''),
    rootless: false,
    command: [],
    createdAt: new Date(0).toISOString(),
  });

it('is made and removed, though a sweep takes what is not locked yet', async () => {
  sweep.next = true;
  const container = await make('one');
  expect(sweep.next).toBe(false);
  expect((await readdir(container.directory)).toSorted()).toEqual(['container.json', 'upper', 'work']);
  await container[Symbol.asyncDispose]();
  sweep.next = true;
  await removeContainer(home, 'one');
  expect(sweep.next).toBe(false);
  expect(await readdir(home)).toEqual([]);
});
