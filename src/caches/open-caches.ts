import { digestFromHex, digestHex, type Digest } from '../core/digest.ts';
import type { Cache, CacheVerdict } from '../core/cache.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { digestUnnoticed, readUnnoticed } from '../host/unnoticed-read.ts';
import { PartCache } from '../lazy/part-cache.ts';
import { convertedCache } from './converted-cache.ts';
import { directoriesCache } from './directories-cache.ts';
import { fileCache } from './file-cache.ts';
import { recordsCache, usedByRecords } from './records-cache.ts';

/** Where caches lie. */
export interface CachePlaces {
  /** The directory of caches and running work. */
  readonly home: AbsPath;
  readonly records: AbsPath;
  readonly imports: AbsPath;
  readonly http: AbsPath;
  readonly cacheDirs: AbsPath;
  readonly converted: AbsPath;
  readonly fileDigests: AbsPath;
  /** Of the user; `undefined` where nothing is kept there. */
  readonly user: AbsPath | undefined;
  /** Of parts of images that are read lazily. */
  readonly lazy: AbsPath;
  /** Manifests and layers of standing mounts. */
  readonly mounted: () => Promise<ReadonlySet<Digest>>;
}

const SHA256 = /^[0-9a-f]{64}$/;

/**
 * Every cache of stk, in the order in which they are told. One of another room joins here, as `Cache` has it.
 * @param isFree see `lockCaches`
 */
export function openCaches(places: CachePlaces, isFree: boolean): readonly Cache[] {
  const { home, records, imports, http, cacheDirs, converted, fileDigests, user, lazy, mounted } = places;
  return [
    recordsCache(records, isFree),
    fileCache({
      kind: 'http',
      description: 'files that recipes import over http',
      directory: http,
      isEntry: name => SHA256.test(name),
      isLeftover: name => /^[0-9a-f]{16}-[0-9a-f-]{36}$/.test(name),
      verify: async (file, key) => ((await digestUnnoticed(file)) === digestFromHex(key) ? 'right' : 'damaged'),
      used: async () => {
        const used = await usedByRecords(records, 'http');
        return new Map([...used].map(([digest, when]) => [digestHex(digest), when]));
      },
      isFree,
    }),
    fileCache({
      kind: 'extracted',
      description: 'files taken out of images for imports',
      directory: joinInside(imports, 'extracted'),
      isEntry: name => SHA256.test(name),
      isLeftover: name => name.startsWith('extract-'),
      verify: async () => 'unknown',
      isFree,
    }),
    convertedCache({ directory: converted, records, mounted, isFree }),
    directoriesCache(cacheDirs, isFree),
    fileCache({
      kind: 'digests',
      description: 'digests of files of this machine',
      directory: home,
      isEntry: name => joinInside(home, name) === fileDigests,
      verify: isJson,
      isFree,
    }),
    lazyCache(lazy),
    ...(user === undefined ? [] : [inventoriesCache(joinInside(user, 'parts'))]),
    ...(user === undefined ? [] : [placesCache(joinInside(user, 'blob-places'))]),
  ];
}

/** It locks and checks by itself what it keeps, part by part, while it is read. */
function lazyCache(directory: AbsPath): Cache {
  const parts = new PartCache(directory);
  return {
    kind: 'lazy',
    description: 'parts of images read lazily from registries',
    list: () => parts.list(),
    remove: key => parts.remove(key),
    verify: async () => 'unknown',
  };
}

function inventoriesCache(directory: AbsPath): Cache {
  return fileCache({
    kind: 'inventories',
    description: 'which packages layers have',
    directory,
    isEntry: name => /^[0-9a-f]{64}\.json\.gz$/.test(name),
    verify: async () => 'unknown',
    isFree: true,
  });
}

/** Each is read and replaced as a whole: removing one disturbs nobody. */
function placesCache(directory: AbsPath): Cache {
  return fileCache({
    kind: 'places',
    description: 'where registries were seen to have blobs',
    directory,
    isEntry: name => /^[0-9a-f]{32}\.json$/.test(name),
    verify: isJson,
    isFree: true,
  });
}

async function isJson(file: AbsPath): Promise<CacheVerdict> {
  const text = await readUnnoticed(file);
  try {
    JSON.parse(text);
    return 'right';
  } catch {
    return 'damaged';
  }
}
