import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { lockFile, tryLockFile, type LockMode } from './file-lock.ts';

let directory: AbsPath;
beforeEach(async () => {
  directory = (await mkdtemp(path.join(tmpdir(), 'stk-lock-'))) as AbsPath;
});
afterEach(() => rm(directory, { recursive: true }));

/** What flock(1) says: whether another process could have the lock at once. */
function isFreeFor(mode: LockMode): boolean {
  return spawnSync('flock', [`--${mode}`, '--nonblock', directory, 'true']).status === 0;
}

describe('a lock on a file', () => {
  it.each<[LockMode, boolean, boolean]>([
    ['exclusive', false, false],
    ['shared', true, false],
  ])('that is %s is seen by other processes', async (mode, shared, exclusive) => {
    const lock = await lockFile(directory, mode);
    expect([isFreeFor('shared'), isFreeFor('exclusive')]).toEqual([shared, exclusive]);
    await lock[Symbol.asyncDispose]();
    await lock[Symbol.asyncDispose]();
    expect(isFreeFor('exclusive')).toBe(true);
  });

  it('is not handed down to programs that are started', async () => {
    const lock = await lockFile(directory, 'exclusive');
    const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
    await once(child, 'spawn');
    await lock[Symbol.asyncDispose]();
    expect(isFreeFor('exclusive')).toBe(true);
    child.stdin.end();
    await once(child, 'exit');
  });

  it('is taken at once or not at all', async () => {
    await using _other = await lockFile(directory, 'shared');
    expect(await tryLockFile(directory, 'exclusive')).toBeUndefined();
    expect(await tryLockFile(directory, 'exclusive', { patienceMs: 5 })).toBeUndefined();
    await using lock = await tryLockFile(directory, 'shared');
    expect(lock?.path).toBe(directory);
  });

  it('is had when another process lets it go', async () => {
    const other = spawn('flock', [directory, '-c', 'echo held; read end'], { stdio: ['pipe', 'pipe', 'ignore'] });
    await once(other.stdout, 'data');
    await using lock = await lockFile(directory, 'exclusive', { onWait: () => other.stdin.end('\n') });
    expect(lock.path).toBe(directory);
  });

  it('is waited for with patience', async () => {
    const first = await lockFile(directory, 'exclusive');
    const onWait = () => void first[Symbol.asyncDispose]();
    await using lock = await tryLockFile(directory, 'exclusive', { patienceMs: 60_000, onWait });
    expect(lock).toBeDefined();
  });

  it('is waited for until the signal', async () => {
    await using _other = await lockFile(directory, 'exclusive');
    const controller = new AbortController();
    const waiting = lockFile(directory, 'shared', { signal: controller.signal, onWait: () => controller.abort() });
    await expect(waiting).rejects.toMatchObject({ code: 'interrupted' });
    await expect(lockFile(directory, 'shared', { signal: controller.signal })).rejects.toMatchObject({
      code: 'interrupted',
    });
  });

  it('makes no file', async () => {
    const absent = path.join(directory, 'absent') as AbsPath;
    await expect(lockFile(absent, 'shared')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(stat(absent)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
