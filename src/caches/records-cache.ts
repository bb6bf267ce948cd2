import { isDigest, type Digest } from '../core/digest.ts';
import type { JsonValue } from '../core/canonical-json.ts';
import type { Cache, CacheEntry } from '../core/cache.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { readUnnoticed } from '../host/unnoticed-read.ts';
import { namesIn, placeFacts, removePlace, sweepPlaces } from './entry-place.ts';

const RECORD = /^[0-9a-f]{64}\.json$/;
/** Says what was made last under a name, which `grab` needs: no work could find that out again. */
const LASTING = 'built';

/** The records of finished work below a directory, as one cache: keys are `KIND/NAME.json`. */
export function recordsCache(directory: AbsPath, isFree: boolean): Cache {
  const kinds = async () => (await namesIn(directory)).filter(kind => /^[a-z]+$/.test(kind) && kind !== LASTING);
  return {
    kind: 'records',
    description: 'what earlier builds made and found out',
    async list() {
      const entries: CacheEntry[] = [];
      for (const kind of await kinds()) {
        for (const name of await recordNames(directory, kind)) {
          const key = `${kind}/${name}`;
          const facts = await placeFacts(joinInside(directory, key));
          if (facts) entries.push({ key, ...facts, inUse: !isFree });
        }
      }
      return entries;
    },
    async remove(key) {
      if (!isFree) return false;
      await removePlace(joinInside(directory, key));
      return true;
    },
    async verify(key) {
      return (await readRecord(joinInside(directory, key))) === undefined ? 'damaged' : 'right';
    },
    async sweep() {
      if (!isFree) return;
      for (const kind of await kinds())
        await sweepPlaces(joinInside(directory, kind), name => name.startsWith('.tmp-'));
    },
  };
}

/** When records of a kind that name a blob were read or written last, by the blob. */
export async function usedByRecords(directory: AbsPath, kind: string): Promise<ReadonlyMap<Digest, Date>> {
  const used = new Map<Digest, Date>();
  for (const name of await recordNames(directory, kind)) {
    const file = joinInside(directory, `${kind}/${name}`);
    const facts = await placeFacts(file);
    if (!facts) continue;
    for (const digest of digestsIn(await readRecord(file))) {
      const known = used.get(digest);
      if (!known || known < facts.lastUsed) used.set(digest, facts.lastUsed);
    }
  }
  return used;
}

async function recordNames(directory: AbsPath, kind: string): Promise<readonly string[]> {
  return (await namesIn(joinInside(directory, kind))).filter(name => RECORD.test(name));
}

async function readRecord(file: AbsPath): Promise<JsonValue | undefined> {
  try {
    return JSON.parse(await readUnnoticed(file)) as JsonValue;
  } catch {
    return undefined;
  }
}

function digestsIn(value: JsonValue | undefined): readonly Digest[] {
  if (isDigest(value)) return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(each => digestsIn(each));
}
