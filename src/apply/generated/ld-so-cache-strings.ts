/** The strings of a library cache, and where in the table each entry's stand. */
export interface StringTable {
  readonly bytes: Buffer;
  /** Of the entries, in their order. */
  readonly positions: readonly { readonly name: number; readonly path: number }[];
  /** Of any string of the table. */
  offsetOf(text: string): number;
}

interface EntryStrings {
  readonly name: string;
  readonly path: string;
}

/**
 * The table of strings as ldconfig lays it out: since glibc 2.33 shared, one that ends another lying in its tail; before,
 * each entry's name and path in turn.
 */
export function buildStringTable(
  entries: readonly EntryStrings[],
  others: readonly string[],
  shared: boolean,
): StringTable {
  return shared ? sharedStrings(entries, others) : separateStrings(entries);
}

function separateStrings(entries: readonly EntryStrings[]): StringTable {
  let offset = 0;
  const positions = entries.map(({ name, path }) => {
    const position = { name: offset, path: offset + name.length + 1 };
    offset = position.path + path.length + 1;
    return position;
  });
  const bytes = Buffer.from(entries.map(({ name, path }) => `${name}\0${path}\0`).join(''), 'latin1');
  return { bytes, positions, offsetOf: () => 0 };
}

function sharedStrings(entries: readonly EntryStrings[], others: readonly string[]): StringTable {
  const distinct = new Set(others);
  for (const { name, path } of entries) distinct.add(name).add(path);
  // Descending when read from the end, which puts longer ones before those that they end with.
  const reversed = [...distinct].map(text => ({ text, key: fromTheEnd(text) }));
  reversed.sort((a, b) => (a.key > b.key ? -1 : 1));
  const offsets = new Map<string, number>();
  const stored: string[] = [];
  let previous: { text: string; offset: number } | undefined;
  let end = 0;
  for (const { text } of reversed) {
    let offset = end;
    if (previous?.text.endsWith(text)) offset = previous.offset + previous.text.length - text.length;
    else {
      stored.push(text, '\0');
      end += text.length + 1;
    }
    offsets.set(text, offset);
    previous = { text, offset };
  }
  return {
    bytes: Buffer.from(stored.join(''), 'latin1'),
    positions: entries.map(({ name, path }) => ({ name: offsets.get(name)!, path: offsets.get(path)! })),
    offsetOf: text => offsets.get(text)!,
  };
}

function fromTheEnd(text: string): string {
  return Buffer.from(Buffer.from(text, 'latin1').toReversed()).toString('latin1');
}
