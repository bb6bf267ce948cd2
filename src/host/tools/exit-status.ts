import os from 'node:os';

/** Status of a child process as shells give it: its own, or 128 + n where signal n ended it. */
export function exitStatus(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : os.constants.signals[signal]);
}
