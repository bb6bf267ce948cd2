import { setTimeout as timer } from 'node:timers/promises';
import { interrupted, throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { open, type FileHandle } from './files.ts';
import { tryFlock } from './syscalls/flock.ts';

export type LockMode = 'shared' | 'exclusive';

export interface LockOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called once if somebody else holds the lock and there will be a wait. */
  readonly onWait?: () => void;
}

/** A held lock; disposing it, or the death of this process, releases it. */
export interface FileLock extends AsyncDisposable {
  readonly path: AbsPath;
}

/** How often a lock is asked for that another holds: soon at first, then at a pace that costs nothing. */
const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 32;

/**
 * Takes a flock(2) lock on an existing file or directory. The kernel releases it with the last descriptor, however this
 * process ends. Who waits asks again and again, since a thread that waited in the kernel could not be called back; as with
 * flock(2) itself, the order in which several get it is not that in which they came.
 */
export async function lockFile(path: AbsPath, mode: LockMode, options: LockOptions = {}): Promise<FileLock> {
  const lock = await take(path, mode, options, Number.POSITIVE_INFINITY);
  return lock!;
}

export interface TryLockOptions extends LockOptions {
  /** How long to wait for one who may hold the lock for a moment only; not at all by default. */
  readonly patienceMs?: number;
}

/** The lock if it is free, or becomes so in time; otherwise `undefined`. */
export async function tryLockFile(
  path: AbsPath,
  mode: LockMode,
  options: TryLockOptions = {},
): Promise<FileLock | undefined> {
  return take(path, mode, options, options.patienceMs ?? 0);
}

async function take(
  path: AbsPath,
  mode: LockMode,
  { signal, onWait }: LockOptions,
  patienceMs: number,
): Promise<FileLock | undefined> {
  throwIfAborted(signal);
  const file = await open(path, 'r');
  try {
    const deadline = performance.now() + patienceMs;
    for (let pauseMs = 0; !tryFlock(file.fd, mode); pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) {
        await file.close();
        return undefined;
      }
      if (pauseMs === 0) {
        onWait?.();
        pauseMs = FIRST_PAUSE_MS;
      }
      await pause(Math.min(pauseMs, leftMs), signal);
    }
  } catch (error) {
    await file.close();
    throw error;
  }
  return held(path, file);
}

async function pause(timeMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await timer(timeMs, undefined, signal ? { signal } : {});
  } catch (error) {
    throw signal?.aborted ? interrupted(signal) : error;
  }
}

function held(path: AbsPath, file: FileHandle): FileLock {
  let isHeld = true;
  return {
    path,
    async [Symbol.asyncDispose]() {
      if (!isHeld) return;
      isHeld = false;
      await file.close();
    },
  };
}
