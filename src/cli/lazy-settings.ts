import { StkError } from '../core/errors.ts';
import { parseDuration, parseSize } from '../core/quantities.ts';

/** How images of registries are read lazily; from the configuration file. */
export interface LazySettings {
  /** What is kept of them at most. */
  readonly cacheBytes: number;
  /** How long a reader waits for a registry that is away. */
  readonly patienceMs: number;
}

const DEFAULT_CACHE_SIZE = '10G';
/** A kernel filesystem may remember an error for as long as it is mounted. */
const DEFAULT_PATIENCE = '5m';

/** Takes apart `lazy_cache_size` and `lazy_patience`. Throws `usage`. */
export function lazySettings(size = DEFAULT_CACHE_SIZE, patience = DEFAULT_PATIENCE): LazySettings {
  const cacheBytes = parseSize(size);
  if (cacheBytes === undefined) {
    throw new StkError('usage', `lazy_cache_size: ${size} is no size`, { hint: 'write it as 500M or 10G' });
  }
  const patienceMs = parseDuration(patience);
  if (patienceMs === undefined) {
    throw new StkError('usage', `lazy_patience: ${patience} is no time`, { hint: 'write it as 30s, 5m or 1h' });
  }
  return { cacheBytes, patienceMs };
}
