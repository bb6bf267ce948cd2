import { mkdir, mkdtemp, readdir, readlink, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { openMountState, removeDeadNamespaces, seenNamespaces } from './state-directory.ts';

const FIRST = ['user:[4026531837]', 'pid:[4026531836]'] as const;
const here = vi.hoisted(() => ({ user: '', pid: '' }));
vi.mock(import('node:fs/promises'), async original => {
  const real = await original();
  const answer = async (file: unknown) => {
    if (file === '/proc/self/ns/user') return here.user;
    return file === '/proc/self/ns/pid' ? here.pid : real.readlink(file as string);
  };
  return { ...real, readlink: answer as typeof real.readlink };
});

let home: AbsPath;
beforeEach(async () => {
  home = (await mkdtemp(path.join(tmpdir(), 'stk-state-'))) as AbsPath;
});
afterEach(() => rm(home, { recursive: true, force: true }));

const enter = ([user, pid]: readonly [string, string]) => Object.assign(here, { user, pid });

describe('the state of a mount namespace', () => {
  it('says in which namespaces it was first opened', async () => {
    enter(['user:[7]', 'pid:[7]']);
    const { directory } = await openMountState(home);
    enter(['user:[8]', 'pid:[8]']);
    await openMountState(home);
    expect(await readlink(path.join(directory, 'made-in'))).toBe('user:[7] pid:[7]');
  });

  it.each<[string, string | undefined, readonly [string, string], boolean]>([
    ['goes with its namespace', 'user:[7] pid:[7]', ['user:[7]', 'pid:[7]'], true],
    ['stays where its processes may be out of sight', 'user:[7] pid:[7]', ['user:[7]', 'pid:[8]'], false],
    ['stays where it cannot be seen where they are', 'user:[7] pid:[7]', ['user:[8]', 'pid:[7]'], false],
    ['stays where nothing says so', undefined, ['user:[7]', 'pid:[7]'], false],
    ['goes where everything can be seen', 'user:[7] pid:[7]', FIRST, true],
    ['goes where its processes are all in sight', 'user:[7] pid:[7]', [FIRST[0], 'pid:[7]'], true],
    ['goes where every process is in sight', 'user:[7] pid:[7]', ['user:[7]', FIRST[1]], true],
  ])('%s', async (_name, madeIn, namespaces, isRemoved) => {
    enter(namespaces);
    const { directory } = await openMountState(home);
    // No process has a mount namespace of this number.
    await mkdir(path.join(home, 'mnt-1', 'records'), { recursive: true });
    if (madeIn !== undefined) await symlink(madeIn, path.join(home, 'mnt-1', 'made-in'));
    expect(await removeDeadNamespaces(home, await seenNamespaces())).toBe(isRemoved ? 1 : 0);
    expect((await readdir(home)).toSorted()).toEqual([...(isRemoved ? [] : ['mnt-1']), path.basename(directory)]);
  });
});
