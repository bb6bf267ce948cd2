import { canonicalJson, type JsonValue } from '../core/canonical-json.ts';
import { digestOf, type CacheKey } from '../core/digest.ts';

/** Part of every key: raise it when the same inputs would give another result than before. */
const KEY_VERSION = 1;

/**
 * Key of one piece of work: everything that decides its result, and nothing else (no labels, no times, no paths of the
 * host). Two pieces of work with equal keys are interchangeable.
 *
 * @param kind what is done, such as `run`
 * @param parent key or digest of what it stands on
 */
export function contentKey(kind: string, parent: string | undefined, inputs: JsonValue): CacheKey {
  return digestOf(canonicalJson({ version: KEY_VERSION, kind, parent: parent ?? null, inputs })) as CacheKey;
}
