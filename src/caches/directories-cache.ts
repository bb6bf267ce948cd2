import type { Cache, CacheEntry } from '../core/cache.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { tryLockFile } from '../host/file-lock.ts';
import { namesIn, placeFacts, removePlace, sweepPlaces } from './entry-place.ts';

const NAME = /^[0-9a-f]{32}(?:-\d+)?$/;

/** Directories that steps keep their own caches in. A step holds the lock of each one that it does not share. */
export function directoriesCache(directory: AbsPath, isFree: boolean): Cache {
  const locked = async <T>(key: string, work: () => Promise<T>): Promise<T | undefined> => {
    const lock = await tryLockFile(joinInside(directory, key), 'exclusive').catch(() => undefined);
    if (!lock) return undefined;
    try {
      return await work();
    } finally {
      await lock[Symbol.asyncDispose]();
    }
  };
  return {
    kind: 'directories',
    description: 'cache directories of build steps',
    async list() {
      const entries: CacheEntry[] = [];
      for (const key of (await namesIn(directory)).filter(name => NAME.test(name))) {
        const facts = await placeFacts(joinInside(directory, key));
        const isUnlocked = isFree && (await locked(key, async () => true));
        if (facts) entries.push({ key, ...facts, inUse: isUnlocked !== true });
      }
      return entries;
    },
    async remove(key) {
      const place = joinInside(directory, key);
      if (!isFree) return false;
      if (!(await placeFacts(place))) return true;
      return (await locked(key, () => removePlace(place).then(() => true))) ?? false;
    },
    verify: async () => 'unknown',
    async sweep() {
      if (isFree) await sweepPlaces(directory);
    },
  };
}
