import { FIELD_ORDER } from './dpkg-fields.ts';
import { parseRecord, type PackageRecord } from './dpkg-database.ts';
import { fieldOf, formatStanza, isDamaged, parseFields, type Field } from '../packages/stanzas.ts';

/** Triggers that the package has still to answer. */
export function pendingTriggers({ stanza }: PackageRecord): readonly string[] {
  return wordsOf(fieldOf(stanza, 'Triggers-Pending'));
}

/** How the stanza of a package names another that it waits for: with the architecture where that may be ambiguous. */
export function awaiting({ name, architecture, coinstallable }: PackageRecord): string {
  return coinstallable ? `${name}:${architecture}` : name;
}

/**
 * The record with further triggers pending, and further packages awaited: the fields, and the state that follows from them
 * (dpkg's `lib/dpkg/triglib.c`). A package that is not in working order keeps its state.
 */
export function withPending(
  record: PackageRecord,
  triggers: readonly string[],
  awaited: readonly string[],
): PackageRecord {
  const parsed = parseFields(record.stanza);
  if (isDamaged(parsed) || !/^(?:installed|triggers-(?:pending|awaited))$/.test(record.status[2])) return record;
  const fields = [...parsed.values()];
  // dpkg puts what comes later in front.
  unite(fields, 'Triggers-Pending', triggers);
  unite(fields, 'Triggers-Awaited', awaited);
  const has = (name: string) => fields.some(field => field.name === name);
  const state = has('Triggers-Awaited')
    ? 'triggers-awaited'
    : has('Triggers-Pending')
      ? 'triggers-pending'
      : 'installed';
  const [want, flag] = record.status;
  const marked = fields.map(field =>
    field.name === 'Status' ? { ...field, value: `${want} ${flag} ${state}` } : field,
  );
  const result = parseRecord(formatStanza(marked));
  return isDamaged(result) ? record : result;
}

function unite(fields: Field[], name: string, words: readonly string[]): void {
  if (words.length === 0) return;
  const at = fields.findIndex(field => field.name === name);
  if (at >= 0) {
    const known = wordsOf(fields[at]!.value);
    fields[at] = { name, value: [...known, ...words.filter(word => !known.includes(word))].join(' ') };
    return;
  }
  const place = FIELD_ORDER.indexOf(name.toLowerCase());
  const after = fields.findIndex(field => {
    const own = FIELD_ORDER.indexOf(field.name.toLowerCase());
    return own < 0 || own > place;
  });
  fields.splice(after < 0 ? fields.length : after, 0, { name, value: words.join(' ') });
}

function wordsOf(value: string | undefined): readonly string[] {
  return (value ?? '').split(' ').filter(word => word !== '');
}
