import { setTimeout as timer } from 'node:timers/promises';
import { interrupted } from '../core/errors.ts';

/** Waits; rejects with `interrupted` when the signal fires. */
export type Delay = (delayMs: number, signal?: AbortSignal) => Promise<void>;

export interface RetryPolicy {
  /** How long a transfer goes on that gets nowhere, pauses included. */
  readonly patienceMs: number;
  /** As long as nothing at all was heard of a server, which is more often not there than busy. */
  readonly firstContactMs: number;
  /** Upper bound of the first pause; doubled after each failure. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** A server that asks for a longer pause with Retry-After gets this one. */
  readonly maxRetryAfterMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = {
  patienceMs: 120_000,
  firstContactMs: 5000,
  firstDelayMs: 200,
  maxDelayMs: 30_000,
  maxRetryAfterMs: 60_000,
};

export const systemDelay: Delay = async (delayMs, signal) => {
  try {
    await timer(delayMs, undefined, signal ? { signal } : {});
  } catch (error) {
    if (signal?.aborted) throw interrupted(signal);
    throw error;
  }
};

/**
 * Pause before the next attempt: exponential, with the upper half left to chance so that many clients spread out.
 * @param failures how many attempts have failed, at least 1
 * @param random a number in [0, 1)
 */
export function backoffMs(policy: RetryPolicy, failures: number, random: number): number {
  const ceiling = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(ceiling * (0.5 + random / 2));
}

/** Retry-After (RFC 9110, section 10.2.3) in milliseconds from now: seconds or an HTTP date; capped, never negative. */
export function retryAfterMs(value: string | undefined, policy: RetryPolicy, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  const text = value.trim();
  const wanted = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isFinite(wanted) ? Math.min(policy.maxRetryAfterMs, Math.max(0, wanted)) : undefined;
}

/** Statuses that say "not now" rather than "no". */
export function isTransientStatus(status: number): boolean {
  return status === 408 || status === 429 || status === 500 || status === 502 || status === 503 || status === 504;
}
