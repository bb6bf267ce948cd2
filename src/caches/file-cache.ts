import { joinInside, type AbsPath } from '../core/paths.ts';
import type { Cache, CacheEntry, CacheVerdict } from '../core/cache.ts';
import { namesIn, placeFacts, removePlace, sweepPlaces } from './entry-place.ts';

export interface FileCacheOptions {
  readonly kind: string;
  readonly description: string;
  readonly directory: AbsPath;
  /** Names of entries; others are left alone. */
  readonly isEntry: (name: string) => boolean;
  /** Names of what killed commands left; nobody has such a thing while `isFree`. */
  readonly isLeftover?: (name: string) => boolean;
  readonly verify: (place: AbsPath, key: string) => Promise<CacheVerdict>;
  /** When an entry was used that reading does not show. */
  readonly used?: () => Promise<ReadonlyMap<string, Date>>;
  /** No command that may need the entries runs, nor begins to, see `lockCaches`. */
  readonly isFree: boolean;
}

/** A cache whose entries are the files or directories of one directory. */
export function fileCache(options: FileCacheOptions): Cache {
  const { kind, description, directory, isEntry, isLeftover, isFree } = options;
  return {
    kind,
    description,
    async list() {
      const used = await options.used?.();
      const entries: CacheEntry[] = [];
      for (const key of (await namesIn(directory)).filter(isEntry)) {
        const facts = await placeFacts(joinInside(directory, key));
        if (!facts) continue;
        const lastUsed = new Date(Math.max(facts.lastUsed.getTime(), used?.get(key)?.getTime() ?? 0));
        entries.push({ key, sizeBytes: facts.sizeBytes, lastUsed, inUse: !isFree });
      }
      return entries;
    },
    async remove(key) {
      if (!isFree) return false;
      if (isEntry(key)) await removePlace(joinInside(directory, key));
      return true;
    },
    verify: key => options.verify(joinInside(directory, key), key),
    async sweep() {
      if (isFree) await sweepPlaces(directory, isLeftover);
    },
  };
}
