import os from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { StkError, isStkError, type ErrorCode, type ErrorFacts } from '../../core/errors.ts';

const NAMES = new Map(Object.entries(os.constants.errno).map(([name, errno]) => [errno, name]));

/** What the kernel refuses to whoever lacks a privilege, and what it was built without. */
const LACKING: ReadonlySet<string> = new Set(['EPERM', 'EACCES', 'ENOSYS', 'ENODEV', 'EOPNOTSUPP']);

export interface RefusedCall {
  /** Name of the system call. */
  readonly call: string;
  readonly errno: number;
  /** What it was called on, as text. */
  readonly path?: string;
  /** What was attempted, for the message; the call's name if absent. */
  readonly attempt?: string;
  readonly hint?: string;
  /** Where errno means something else for this call. */
  readonly code?: ErrorCode;
  readonly facts?: ErrorFacts;
}

/**
 * The error for a system call that failed: `missing-capability` where a privilege or a part of the kernel is missing,
 * `storage` where a disk or quota is full, otherwise `tool-failed`. The fact `errno` has its name.
 */
export function syscallFailure(refused: RefusedCall): StkError {
  const { call, path, attempt = call, hint } = refused;
  const errno = errnoName(refused.errno);
  const text = getSystemErrorMap().get(-refused.errno)?.[1] ?? `error ${refused.errno}`;
  return new StkError(
    refused.code ?? codeOf(errno),
    `${attempt}${path === undefined ? '' : ` ${path}`}: ${text} (${errno})`,
    {
      ...(hint === undefined ? {} : { hint }),
      facts: { call, errno, ...(path === undefined ? {} : { path }), ...refused.facts },
    },
  );
}

/** `ENOENT`, `EBUSY`, …; for one that has no name its number. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? String(errno);
}

/** Whether a system call of this room failed with one of these. */
export function failedWith(error: unknown, ...names: readonly string[]): error is StkError {
  return isStkError(error) && names.includes(String(error.facts['errno']));
}

function codeOf(errno: string): ErrorCode {
  if (errno === 'ENOSPC' || errno === 'EDQUOT') return 'storage';
  return LACKING.has(errno) ? 'missing-capability' : 'tool-failed';
}
