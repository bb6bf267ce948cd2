import type { Cache, CacheEntry } from '../core/cache.ts';
import type { CacheLimit } from './cache-limits.ts';

/** An entry with the cache that it is of. */
export interface KeptEntry {
  readonly cache: Cache;
  readonly entry: CacheEntry;
}

/**
 * What has to go: whatever was not used for too long, then of the rest what was not used for longest until as much is kept as
 * may be. What is in use counts, and stays.
 */
export function chooseEntries(
  entries: readonly KeptEntry[],
  { maxBytes = Number.POSITIVE_INFINITY, maxAgeMs = Number.POSITIVE_INFINITY }: CacheLimit,
  nowMs: number,
): readonly KeptEntry[] {
  let keptBytes = entries.reduce((sum, { entry }) => sum + entry.sizeBytes, 0);
  const chosen: KeptEntry[] = [];
  for (const each of entries.toSorted((a, b) => a.entry.lastUsed.getTime() - b.entry.lastUsed.getTime())) {
    const { inUse, lastUsed, sizeBytes } = each.entry;
    if (inUse || (nowMs - lastUsed.getTime() < maxAgeMs && keptBytes <= maxBytes)) continue;
    chosen.push(each);
    keptBytes -= sizeBytes;
  }
  return chosen;
}
