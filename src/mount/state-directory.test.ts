import { mkdir, mkdtemp, readdir, readlink, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { openMountState, removeDeadNamespaces } from './state-directory.ts';

const FIRST = 'pid:[4026531836]';
const here = vi.hoisted(() => ({ namespace: '' }));
vi.mock(import('node:fs/promises'), async original => {
  const real = await original();
  const answer = async (file: unknown) =>
    file === '/proc/self/ns/pid' ? here.namespace : real.readlink(file as string);
  return { ...real, readlink: answer as typeof real.readlink };
});

let home: AbsPath;
beforeEach(async () => {
  home = (await mkdtemp(path.join(tmpdir(), 'stk-state-'))) as AbsPath;
});
afterEach(() => rm(home, { recursive: true, force: true }));

describe('the state of a mount namespace', () => {
  it('says in which PID namespace it was first opened', async () => {
    here.namespace = 'pid:[7]';
    const { directory } = await openMountState(home);
    here.namespace = 'pid:[8]';
    await openMountState(home);
    expect(await readlink(path.join(directory, 'pid-namespace'))).toBe('pid:[7]');
  });

  it.each<[string, string | undefined, string, boolean]>([
    ['goes with its namespace', 'pid:[7]', 'pid:[7]', true],
    ['stays where its processes may be out of sight', 'pid:[7]', 'pid:[8]', false],
    ['stays where nothing says so', undefined, 'pid:[7]', false],
    ['goes where every process is in sight', 'pid:[7]', FIRST, true],
  ])('%s', async (_name, madeIn, namespace, isRemoved) => {
    here.namespace = namespace;
    const { directory } = await openMountState(home);
    // No process has a mount namespace of this number.
    await mkdir(path.join(home, 'mnt-1', 'records'), { recursive: true });
    if (madeIn !== undefined) await symlink(madeIn, path.join(home, 'mnt-1', 'pid-namespace'));
    expect(await removeDeadNamespaces(home)).toBe(isRemoved ? 1 : 0);
    expect((await readdir(home)).toSorted()).toEqual([...(isRemoved ? [] : ['mnt-1']), path.basename(directory)]);
  });
});
