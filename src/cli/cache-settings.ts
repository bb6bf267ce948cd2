import { CACHE_KINDS, type CacheLimit } from '../caches/cache-limits.ts';
import { nearest } from '../core/diagnostics.ts';
import { StkError } from '../core/errors.ts';
import { parseDuration, parseSize } from '../core/quantities.ts';

/** Limits of caches by kind, which stand in place of the usual ones. */
export type CacheSettings = Readonly<Record<string, CacheLimit>>;

const NONE = 'none';

/**
 * `caches` of the configuration file: `{http: {size: 5GB, age: 30d}}`, each limit `none` for as much or as long as there is.
 * What is left out keeps its usual limit. Throws `usage`.
 */
export function parseCacheSettings(file: string, value: unknown, usual: CacheSettings): CacheSettings {
  if (!isMap(value)) throw new StkError('usage', `${file}: caches is no map of kinds of caches`);
  const settings = Object.entries(value).map(([kind, limits]) => {
    if (!CACHE_KINDS.includes(kind)) throw unknown(file, `caches: ${kind}`, kind, CACHE_KINDS);
    if (!isMap(limits)) throw new StkError('usage', `${file}: caches: ${kind} is no map of size and age`);
    for (const name of Object.keys(limits)) {
      if (name !== 'size' && name !== 'age') throw unknown(file, `caches: ${kind}: ${name}`, name, ['size', 'age']);
    }
    const { maxBytes, maxAgeMs } = usual[kind] ?? {};
    const size = limit(file, `${kind}: size`, limits['size'], maxBytes, parseSize);
    const age = limit(file, `${kind}: age`, limits['age'], maxAgeMs, parseDuration);
    const both = { ...(size === undefined ? {} : { maxBytes: size }), ...(age === undefined ? {} : { maxAgeMs: age }) };
    return [kind, both] as const;
  });
  return Object.fromEntries(settings);
}

function limit(
  file: string,
  name: string,
  value: unknown,
  ...[usual, parse]: [number | undefined, (text: string) => number | undefined]
): number | undefined {
  if (value === undefined) return usual;
  if (value === NONE || value === null) return undefined;
  const parsed = typeof value === 'string' || typeof value === 'number' ? parse(String(value)) : undefined;
  if (parsed !== undefined) return parsed;
  throw new StkError('usage', `${file}: caches: ${name} is neither ${NONE} nor such as 5GB or 30d`);
}

function unknown(file: string, place: string, name: string, known: readonly string[]): StkError {
  const near = nearest(name, known);
  return new StkError('usage', `${file}: ${place} is not known`, {
    hint: near ? `did you mean ${near}?` : `there are ${known.join(', ')}`,
  });
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
