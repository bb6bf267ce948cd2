/** What one side made of an entry; `undefined`: it took it out. */
export interface ChangedEntry<T> {
  /** Position among the sides that were given. */
  readonly side: number;
  readonly value: T | undefined;
}

export interface KeyedMerge<T> {
  readonly ancestor: ReadonlyMap<string, T>;
  readonly sides: readonly ReadonlyMap<string, T>[];
  readonly equal: (a: T, b: T) => boolean;
  /** Decides between sides that changed one entry differently; at least two, in order. */
  readonly settle: (key: string, ancestor: T | undefined, changes: readonly ChangedEntry<T>[]) => T | undefined;
}

/**
 * Entries by key, three-way: what nobody changed stays, what one side changed or took out is so, what several changed alike
 * is so. In the ancestor's order, then additions in the order of sides.
 */
export function mergeKeyed<T>({ ancestor, sides, equal, settle }: KeyedMerge<T>): Map<string, T> {
  const same = (a: T | undefined, b: T | undefined) =>
    a === undefined || b === undefined ? a === b : a === b || equal(a, b);
  const merged = new Map<string, T>();
  const keys = new Set(ancestor.keys());
  for (const side of sides) for (const key of side.keys()) keys.add(key);
  for (const key of keys) {
    const before = ancestor.get(key);
    const changes: ChangedEntry<T>[] = [];
    for (const [side, entries] of sides.entries()) {
      const value = entries.get(key);
      if (!same(value, before)) changes.push({ side, value });
    }
    const first = changes[0];
    let value = before;
    if (first !== undefined) {
      const agreed = changes.every(change => same(change.value, first.value));
      value = agreed ? first.value : settle(key, before, changes);
    }
    if (value !== undefined) merged.set(key, value);
  }
  return merged;
}

/** Sets, three-way: what the ancestor has and nobody took out, then what sides added, in order. */
export function mergeSets(ancestor: readonly string[], sides: readonly (readonly string[])[]): string[] {
  const keyed = (items: readonly string[]) => new Map(items.map(item => [item, item]));
  const merged = mergeKeyed({
    ancestor: keyed(ancestor),
    sides: sides.map(keyed),
    equal: () => true,
    // An item is there or it is not, so sides that changed it agree.
    settle: key => key,
  });
  return [...merged.keys()];
}

/** As `mergeSets` over the lines of texts; the second of two equal lines is another line. Ends with a newline. */
export function mergeLineSets(ancestor: string, sides: readonly string[]): string {
  const merged = mergeSets(numbered(ancestor), sides.map(numbered));
  return joinLines(merged.map(line => line.slice(line.indexOf(' ') + 1)));
}

function numbered(text: string): string[] {
  const seen = new Map<string, number>();
  return splitLines(text).map(line => {
    const count = seen.get(line) ?? 0;
    seen.set(line, count + 1);
    return `${count} ${line}`;
  });
}

/** Lines without their ends; a missing last newline is not seen. */
export function splitLines(text: string): string[] {
  if (text === '') return [];
  return (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n');
}

export function joinLines(lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/** The one value that the sides give in place of the ancestor's; a list of those that clash where there are several. */
export function mergeValue<T>(
  ancestor: T,
  sides: readonly T[],
): { readonly value: T } | { readonly clash: readonly { readonly side: number; readonly value: T }[] } {
  const changed = sides.map((value, side) => ({ side, value })).filter(({ value }) => value !== ancestor);
  const first = changed[0];
  if (first === undefined) return { value: ancestor };
  return changed.every(({ value }) => value === first.value) ? { value: first.value } : { clash: changed };
}
