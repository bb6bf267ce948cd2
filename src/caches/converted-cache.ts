import { digestFromHex, digestHex, type Digest } from '../core/digest.ts';
import { isStkError } from '../core/errors.ts';
import type { Cache } from '../core/cache.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { digestUnnoticed } from '../host/unnoticed-read.ts';
import { neededBlobs } from '../oci/gc.ts';
import { LayoutStore } from '../oci/layout.ts';
import { fileCache } from './file-cache.ts';
import { usedByRecords } from './records-cache.ts';

export interface ConvertedCacheOptions {
  /** The layout; it may not exist. */
  readonly directory: AbsPath;
  readonly records: AbsPath;
  /** Manifests and layers of standing mounts. */
  readonly mounted: () => Promise<ReadonlySet<Digest>>;
  readonly isFree: boolean;
}

/** Layers that were converted on their way to somewhere else. What its index names, and what mounts need, stays. */
export function convertedCache({ directory, records, mounted, isFree }: ConvertedCacheOptions): Cache {
  const cache = fileCache({
    kind: 'converted',
    description: 'layers converted on their way elsewhere',
    directory: joinInside(directory, 'blobs/sha256'),
    isEntry: name => /^[0-9a-f]{64}$/.test(name),
    isLeftover: name => name.startsWith('.tmp-'),
    used: async () => {
      const used = await usedByRecords(records, 'convert');
      return new Map([...used].map(([digest, when]) => [digestHex(digest), when]));
    },
    verify: async (file, key) => ((await digestUnnoticed(file)) === digestFromHex(key) ? 'right' : 'damaged'),
    isFree,
  });
  const needed = async (): Promise<ReadonlySet<Digest>> => {
    try {
      return await neededBlobs(await LayoutStore.open(directory), await mounted());
    } catch (error) {
      if (isStkError(error, 'not-found')) return new Set();
      throw error;
    }
  };
  return {
    ...cache,
    async list() {
      const [entries, kept] = [await cache.list(), await needed()];
      return entries.map(entry => ({ ...entry, inUse: entry.inUse || kept.has(digestFromHex(entry.key)) }));
    },
  };
}
