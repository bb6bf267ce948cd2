/** How much a cache keeps; what is left out is unlimited. */
export interface CacheLimit {
  readonly maxBytes?: number;
  readonly maxAgeMs?: number;
}

const GB = 1e9;
const DAY_MS = 86_400_000;

/** What holds where the configuration file says nothing else. `docs/caches.md` has the same table. */
export const DEFAULT_LIMITS: Readonly<Record<string, CacheLimit>> = {
  records: { maxBytes: 0.5 * GB, maxAgeMs: 90 * DAY_MS },
  http: { maxBytes: 5 * GB, maxAgeMs: 30 * DAY_MS },
  extracted: { maxBytes: 5 * GB, maxAgeMs: 30 * DAY_MS },
  converted: { maxBytes: 20 * GB, maxAgeMs: 30 * DAY_MS },
  directories: { maxBytes: 20 * GB, maxAgeMs: 60 * DAY_MS },
  digests: { maxBytes: 0.1 * GB },
  inventories: { maxBytes: 0.2 * GB, maxAgeMs: 90 * DAY_MS },
  lazy: { maxBytes: 10 * GB, maxAgeMs: 30 * DAY_MS },
  places: { maxBytes: 0.1 * GB, maxAgeMs: 90 * DAY_MS },
};

export const CACHE_KINDS: readonly string[] = Object.keys(DEFAULT_LIMITS);
