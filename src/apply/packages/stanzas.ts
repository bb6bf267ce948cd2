/** One field of a stanza. */
export interface Field {
  /** As it is spelt. */
  readonly name: string;
  /** What follows the colon, without the blanks before it, with the continuation lines as they are. */
  readonly value: string;
}

/** Fields by lower-case name, in file order. */
export type Fields = ReadonlyMap<string, Field>;

/** What is wrong with a text that should consist of stanzas; for the end of a sentence. */
export interface Damage {
  readonly damage: string;
}

/**
 * Splits a control file (deb822) into its stanzas, each without the blank line after it and ending in a newline. What
 * dpkg itself would refuse is damage.
 */
export function splitStanzas(text: string): readonly string[] | Damage {
  if (text.includes('\0')) return { damage: 'it holds NUL bytes' };
  if (text.includes('\r\n')) return { damage: 'its lines end in carriage returns' };
  if (text !== '' && !text.endsWith('\n')) return { damage: 'its last line is cut off' };
  const stanzas: string[] = [];
  for (let at = 0; at < text.length;) {
    if (text.charCodeAt(at) === 0x0a) {
      at++;
      continue;
    }
    const end = text.indexOf('\n\n', at);
    const next = end < 0 ? text.length : end + 1;
    stanzas.push(text.slice(at, next));
    at = next;
  }
  return stanzas;
}

/** The fields of one stanza. */
export function parseFields(stanza: string): Fields | Damage {
  const fields = new Map<string, Field>();
  for (let at = 0; at < stanza.length;) {
    let end = stanza.indexOf('\n', at);
    if (end < 0) end = stanza.length;
    const colon = stanza.indexOf(':', at);
    if (colon <= at || colon > end) return { damage: 'a line is neither a field nor a continuation' };
    const name = stanza.slice(at, colon);
    if (/\s/.test(name)) return { damage: 'a field name holds blanks' };
    let following = end + 1;
    // A value goes on over all lines that begin with a blank.
    while (stanza[following] === ' ' || stanza[following] === '\t') {
      const lineEnd = stanza.indexOf('\n', following);
      following = lineEnd < 0 ? stanza.length : lineEnd + 1;
    }
    const value = stanza
      .slice(at + name.length + 1, following)
      .replace(/^[ \t]+/, '')
      .replace(/\n$/, '');
    const key = name.toLowerCase();
    if (fields.has(key)) return { damage: `a stanza has two fields ${name}` };
    fields.set(key, { name, value });
    at = following;
  }
  return fields;
}

/** A stanza of the fields, in their order. */
export function formatStanza(fields: Iterable<Field>): string {
  let text = '';
  for (const { name, value } of fields) {
    text += value === '' || value.startsWith('\n') ? `${name}:${value}\n` : `${name}: ${value}\n`;
  }
  return text;
}

/** Value of a field without parsing the others; `undefined` where the stanza has none. Names as dpkg writes them. */
export function fieldOf(stanza: string, name: string): string | undefined {
  const start = stanza.startsWith(`${name}:`) ? 0 : stanza.indexOf(`\n${name}:`) + 1;
  if (start === 0 && !stanza.startsWith(`${name}:`)) return undefined;
  const end = stanza.indexOf('\n', start);
  return stanza.slice(start + name.length + 1, end < 0 ? undefined : end).trim();
}

/** Stanzas as a file: a blank line after each, as dpkg and apt write it. */
export function joinStanzas(stanzas: Iterable<string>): string {
  let text = '';
  for (const stanza of stanzas) text += `${stanza}\n`;
  return text;
}

export function isDamaged<T extends object>(result: T | Damage): result is Damage {
  return 'damage' in result;
}
