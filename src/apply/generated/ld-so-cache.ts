import { encodeLibraryCache, parseLibraryCache, type LibraryCache, type LibraryEntry } from './ld-so-cache-format.ts';
import { mergeKeyed, mergeValue } from '../text/three-way.ts';

/**
 * What ldconfig would write into the merged tree: the libraries that the ancestor lists and nobody took out, and those that
 * sides added, in ldconfig's order. `unknown`: only ldconfig itself can tell, because a file is not laid out as known
 * versions of glibc do, or libraries of one name were added in several directories.
 */
export function mergeLibraryCaches(ancestor: Buffer | undefined, sides: readonly Buffer[]): Buffer | 'unknown' {
  const parsed: LibraryCache[] = [];
  for (const bytes of sides) {
    const cache = parseFaithfully(bytes);
    if (cache === undefined) return 'unknown';
    parsed.push(cache);
  }
  const before = ancestor === undefined ? undefined : parseFaithfully(ancestor);
  if (ancestor !== undefined && before === undefined) return 'unknown';
  const layoutText = ({ layout }: LibraryCache) => JSON.stringify(layout);
  const layout = mergeValue(before && layoutText(before), parsed.map(layoutText));
  const chosen = 'value' in layout ? parsed.find(cache => layoutText(cache) === layout.value) : undefined;
  if (chosen === undefined) return 'unknown';
  const sources = [...(before ? [before] : []), ...parsed].map(({ entries }) => keyed(entries));
  const merged = mergeKeyed<LibraryEntry>({
    ancestor: before ? sources[0]! : new Map(),
    sides: before ? sources.slice(1) : sources,
    equal: () => true,
    // A library is listed or it is not, so sides that changed it agree.
    settle: (_key, entry, changes) => changes.find(({ value }) => value !== undefined)?.value ?? entry,
  });
  const entries = inOrder(merged, sources);
  return entries === undefined ? 'unknown' : encodeLibraryCache({ layout: chosen.layout, entries });
}

/**
 * The cache without libraries that are not there, and whether none was missing. `unknown`: it is not laid out as known
 * versions of glibc do, or tells two things of one library, of which only ldconfig itself can tell which is right.
 */
export async function libraryCacheOf(
  bytes: Buffer,
  isThere: (path: string) => Promise<boolean>,
): Promise<{ readonly bytes: Buffer; readonly missing: readonly string[] } | 'unknown'> {
  const cache = parseFaithfully(bytes);
  if (cache === undefined) return 'unknown';
  const kept: LibraryEntry[] = [];
  const missing: string[] = [];
  const seen = new Set<string>();
  for (const entry of cache.entries) {
    if (!(await isThere(entry.path))) missing.push(entry.path);
    else kept.push(entry);
    const key = `${entry.name}\0${entry.path}\0${entry.subdirectory ?? ''}`;
    if (seen.has(key)) return 'unknown';
    seen.add(key);
  }
  return { bytes: encodeLibraryCache({ layout: cache.layout, entries: kept }), missing };
}

/** Only files that would be written alike again are understood; anything else may hold more than what was read. */
function parseFaithfully(bytes: Buffer): LibraryCache | undefined {
  const cache = parseLibraryCache(bytes);
  return cache !== undefined && encodeLibraryCache(cache).equals(bytes) ? cache : undefined;
}

function keyed(entries: readonly LibraryEntry[]): ReadonlyMap<string, LibraryEntry> {
  return new Map(entries.map(entry => [keyOf(entry), entry]));
}

function keyOf({ name, path, flags, osVersion, hwcap, subdirectory, isaLevel }: LibraryEntry): string {
  return [name, path, flags, osVersion, hwcap, subdirectory ?? '', isaLevel].join('\0');
}

/**
 * Sorted as ldconfig does. Among libraries that it does not tell apart it keeps the order in which it searched the
 * directories, so they stay as a source has them that knows them all; `undefined` where there is none.
 */
function inOrder(
  merged: ReadonlyMap<string, LibraryEntry>,
  sources: readonly ReadonlyMap<string, LibraryEntry>[],
): readonly LibraryEntry[] | undefined {
  const sorted = [...merged.values()].sort(compareEntries);
  const ordered: LibraryEntry[] = [];
  for (let from = 0; from < sorted.length;) {
    let to = from + 1;
    while (to < sorted.length && compareEntries(sorted[from]!, sorted[to]!) === 0) to++;
    const group = sorted.slice(from, to);
    from = to;
    if (group.length === 1) {
      ordered.push(group[0]!);
      continue;
    }
    const keys = new Set(group.map(keyOf));
    const source = sources.find(entries => [...keys].every(key => entries.has(key)));
    if (source === undefined) return undefined;
    for (const [key, entry] of source) if (keys.has(key)) ordered.push(entry);
  }
  return ordered;
}

/** `compare` of glibc's `elf/cache.c`. */
function compareEntries(a: LibraryEntry, b: LibraryEntry): number {
  const byName = compareLibraryNames(b.name, a.name);
  if (byName !== 0) return byName;
  if (a.flags !== b.flags) return b.flags - a.flags;
  if (a.subdirectory !== b.subdirectory) {
    if (a.subdirectory === undefined) return 1;
    if (b.subdirectory === undefined) return -1;
    return a.subdirectory < b.subdirectory ? -1 : 1;
  }
  if (a.hwcap !== b.hwcap) return b.hwcap > a.hwcap ? 1 : -1;
  return b.osVersion - a.osVersion || b.isaLevel - a.isaLevel;
}

/** `_dl_cache_libcmp`: runs of digits count as numbers, and stand behind anything else. */
export function compareLibraryNames(a: string, b: string): number {
  const digit = (text: string, at: number) => {
    const code = text.charCodeAt(at) - 48;
    return code >= 0 && code <= 9 ? code : undefined;
  };
  let [i, j] = [0, 0];
  while (i < a.length) {
    const [x, y] = [digit(a, i), digit(b, j)];
    if (x !== undefined && y !== undefined) {
      let [left, right] = [0, 0];
      // In C's int, which wraps.
      for (let d: number | undefined = x; d !== undefined; d = digit(a, ++i)) left = (Math.imul(left, 10) + d) | 0;
      for (let d: number | undefined = y; d !== undefined; d = digit(b, ++j)) right = (Math.imul(right, 10) + d) | 0;
      if (left !== right) return left < right ? -1 : 1;
    } else if (x !== undefined) return 1;
    else if (y !== undefined) return -1;
    else {
      const difference = charAt(a, i) - charAt(b, j);
      if (difference !== 0) return difference;
      i++;
      j++;
    }
  }
  return j < b.length ? -charAt(b, j) : 0;
}

/** As a signed char; 0 behind the end. */
function charAt(text: string, at: number): number {
  return at < text.length ? (text.charCodeAt(at) << 24) >> 24 : 0;
}
