import { open, type FileHandle } from 'node:fs/promises';
import type { AbsPath } from '../core/paths.ts';
import { runTool } from './exec.ts';

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

/**
 * Takes a flock(2) lock on an existing file or directory. The lock belongs to the open file description, which the
 * short-lived `flock` tool shares with this process: once it has exited, this process holds the lock, and the kernel
 * releases it with the last descriptor, however the process ends.
 */
export async function lockFile(path: AbsPath, mode: LockMode, options: LockOptions = {}): Promise<FileLock> {
  const file = await open(path, 'r');
  try {
    await acquire(file, mode, options);
  } catch (error) {
    await file.close();
    throw error;
  }
  return held(path, file);
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
  const { signal, patienceMs = 0 } = options;
  const file = await open(path, 'r');
  try {
    if (await flock(file, mode, ['--nonblock'], signal)) return held(path, file);
    if (patienceMs > 0) {
      options.onWait?.();
      if (await flock(file, mode, [`--timeout=${patienceMs / 1000}`], signal)) return held(path, file);
    }
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return undefined;
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

async function acquire(file: FileHandle, mode: LockMode, options: LockOptions): Promise<void> {
  if (await flock(file, mode, ['--nonblock'], options.signal)) return;
  options.onWait?.();
  await flock(file, mode, [], options.signal);
}

/** Whether the lock was got: `flock` answers 1 where another holds it, with `--nonblock` at once, with `--timeout` later. */
async function flock(
  file: FileHandle,
  mode: LockMode,
  flags: readonly string[],
  signal?: AbortSignal,
): Promise<boolean> {
  const { exitCode } = await runTool('flock', [`--${mode}`, ...flags, '3'], {
    inheritFds: [file.fd],
    okExitCodes: [0, 1],
    signal,
  });
  return exitCode === 0;
}
