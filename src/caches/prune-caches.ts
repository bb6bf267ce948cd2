import { isStkError, throwIfAborted } from '../core/errors.ts';
import type { Cache } from '../core/cache.ts';
import type { CacheLimit } from './cache-limits.ts';
import { chooseEntries, type KeptEntry } from './choose-entries.ts';

/** What became of an entry. */
export interface PrunedEntry extends KeptEntry {
  readonly removed: boolean;
}

export interface PruneOptions {
  /** Says what is chosen, and removes nothing. */
  readonly dryRun: boolean;
  readonly nowMs: number;
  readonly signal: AbortSignal;
}

/** What each of these caches keeps. */
export async function listEntries(caches: readonly Cache[], signal: AbortSignal): Promise<readonly KeptEntry[]> {
  const entries: KeptEntry[] = [];
  for (const cache of caches) {
    throwIfAborted(signal);
    for (const entry of await cache.list()) entries.push({ cache, entry });
  }
  return entries;
}

/** Prunes several caches as if they were one. Entries that came into use since they were chosen stay. */
export async function pruneTogether(
  caches: readonly Cache[],
  limit: CacheLimit,
  options: PruneOptions,
): Promise<readonly PrunedEntry[]> {
  const { dryRun, nowMs, signal } = options;
  const chosen = chooseEntries(await listEntries(caches, signal), limit, nowMs);
  if (dryRun) return chosen.map(each => ({ ...each, removed: false }));
  for (const cache of caches) await cache.sweep?.();
  const pruned: PrunedEntry[] = [];
  for (const each of chosen) {
    throwIfAborted(signal);
    pruned.push({ ...each, removed: await each.cache.remove(each.entry.key) });
  }
  return pruned;
}

/** An entry that is not what it should be. */
export interface VerifiedEntry extends KeptEntry {
  readonly verdict: 'right' | 'damaged' | 'unknown';
}

/** Looks at every entry. One that cannot be read is `unknown`. */
export async function* verifyEntries(caches: readonly Cache[], signal: AbortSignal): AsyncGenerator<VerifiedEntry> {
  for (const each of await listEntries(caches, signal)) {
    throwIfAborted(signal);
    const verdict = await each.cache.verify(each.entry.key).catch((error: unknown) => {
      if (isStkError(error)) throw error;
      return 'unknown' as const;
    });
    yield { ...each, verdict };
  }
}
