import { setTimeout as sleep } from 'node:timers/promises';
import { errnoOf, isStkError, messageOf, throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { runTool } from './exec.ts';
import { statfs } from './files.ts';

interface Patience {
  /** How long all of them may take to answer before one counts as dead. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

let waiting = 0;

/**
 * Whether a thread of this process waits for a filesystem that may never answer. Such a thread cannot be called back, and an
 * ordinary end of the process waits for it: see `exitAtOnce`.
 */
export function hasWaitingThread(): boolean {
  return waiting > 0;
}

/**
 * Whether the filesystems at all of these paths answer: a FUSE mount outlives a server that was killed, or hangs with one
 * that was stopped. They are asked for statfs(2), which the kernel never answers from a cache as it does stat(2). The first
 * one that hangs costs a thread; from then on a process of its own asks, so that there is never another. Throws
 * `interrupted`.
 */
export async function filesystemsAnswer(paths: readonly AbsPath[], patience: Patience): Promise<boolean> {
  const { timeoutMs, signal } = patience;
  throwIfAborted(signal);
  if (paths.length === 0) return true;
  const deadline = AbortSignal.timeout(timeoutMs);
  const end = signal ? AbortSignal.any([signal, deadline]) : deadline;
  if (hasWaitingThread()) return askByProgram(paths, end, signal);
  const given = new Promise<false>(resolve => {
    end.addEventListener('abort', () => resolve(false), { once: true });
  });
  const all = await Promise.race([askInTurn(paths, end), given]);
  throwIfAborted(signal);
  return all;
}

/**
 * Whether a FUSE mount has lost its server for good. One that does not answer in time is busy or stopped, and has not.
 */
export async function isDisconnected(path: AbsPath, timeoutMs: number): Promise<boolean> {
  const asked = ask(path).then(
    () => false,
    // A question that the server's end overtakes is aborted, a later one finds no connection.
    (error: unknown) => ['ENOTCONN', 'ECONNABORTED'].includes(errnoOf(error) ?? ''),
  );
  return Promise.race([asked, sleep(timeoutMs, false, { ref: false })]);
}

/**
 * Whether one of these FUSE mounts has lost its server for good, as far as it is known in time: what comes after one that
 * does not answer is not asked. A process asks, so that no thread of this one waits.
 */
export async function areDisconnected(paths: readonly AbsPath[], { timeoutMs, signal }: Patience): Promise<boolean> {
  const deadline = AbortSignal.timeout(timeoutMs);
  const end = signal ? AbortSignal.any([signal, deadline]) : deadline;
  try {
    await runTool('stat', ['--file-system', '--format=%T', '--', ...paths], { signal: end });
    return false;
  } catch (error) {
    if (signal?.aborted || isStkError(error, 'missing-capability')) throw error;
    return /not connected|connection abort/i.test(messageOf(error));
  }
}

async function askInTurn(paths: readonly AbsPath[], end: AbortSignal): Promise<boolean> {
  for (const path of paths) {
    if (end.aborted) return false;
    try {
      await ask(path);
    } catch {
      // Whatever it is: no connection, an aborted one, no such place.
      return false;
    }
  }
  return true;
}

async function ask(path: AbsPath): Promise<void> {
  waiting++;
  try {
    await statfs(path);
  } finally {
    waiting--;
  }
}

async function askByProgram(paths: readonly AbsPath[], end: AbortSignal, signal?: AbortSignal): Promise<boolean> {
  try {
    await runTool('stat', ['--file-system', '--format=%T', '--', ...paths], { signal: end });
    return true;
  } catch (error) {
    if (signal?.aborted || isStkError(error, 'missing-capability')) throw error;
    return false;
  }
}
