import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { digestOf } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { tryLockFile } from '../host/file-lock.ts';
import { createContainer, listContainers, openContainer, removeContainer } from './container-record.ts';

/** While true, the next thing beside the containers that is about to be locked goes: a sweep came first. */
const sweep = vi.hoisted(() => ({ next: false }));
/** What happens once somebody waits for a lock. */
const release = vi.hoisted(() => ({ onWait: () => {} }));
vi.mock(import('../host/file-lock.ts'), async original => {
  const real = await original();
  return {
    ...real,
    tryLockFile: async (directory, mode, options) => {
      if (sweep.next && path.basename(directory).startsWith('.')) {
        sweep.next = false;
        await rm(directory, { recursive: true });
      }
      return real.tryLockFile(directory, mode, { ...options, onWait: release.onWait });
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

describe('a container at rest', () => {
  it('is not in use because somebody lists or reads it', async () => {
    const made = await make('one');
    expect(await listContainers(home)).toMatchObject([{ name: 'one', inUse: true }]);
    await made[Symbol.asyncDispose]();
    await using _reader = await openContainer(home, 'one', { mode: 'shared', rootless: false });
    const lists = await Promise.all([1, 2, 3, 4].map(() => listContainers(home)));
    expect(lists.flat().map(({ inUse }) => inUse)).toEqual([false, false, false, false]);
  });

  it('is opened to write, though a listing has it for a moment', async () => {
    await (await make('one'))[Symbol.asyncDispose]();
    const listing = (await tryLockFile(path.join(home, 'one') as AbsPath, 'shared'))!;
    release.onWait = () => void listing[Symbol.asyncDispose]();
    await using container = await openContainer(home, 'one', { mode: 'exclusive', rootless: false });
    expect(container.record.name).toBe('one');
  });

  it('is waited for no longer than the signal allows', async () => {
    await using _made = await make('one');
    const controller = new AbortController();
    release.onWait = () => controller.abort();
    const options = { mode: 'shared', rootless: false, signal: controller.signal } as const;
    await expect(openContainer(home, 'one', options)).rejects.toMatchObject({ code: 'interrupted' });
    await expect(openContainer(home, 'one', { mode: 'shared', rootless: false })).rejects.toMatchObject({
      code: 'conflict',
    });
  });
});
