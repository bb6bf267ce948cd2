import {
  ACCOUNTS_FILES,
  isNisLine,
  parseAccounts,
  type AccountLine,
  type AccountLines,
  type AccountsFile,
  type AccountsText,
  type FieldRule,
} from './accounts-records.ts';
import { conflict, shown, type ConflictOutcome } from '../file-versions.ts';
import { joinLines, mergeKeyed, mergeSets, mergeValue, type ChangedEntry } from '../text/three-way.ts';

export interface AccountsMerge {
  /** For messages. */
  readonly path: string;
  readonly file: AccountsFile;
  readonly ancestor: string;
  readonly sides: readonly AccountsText[];
  /** Whether what clashes in one account is settled by the youngest file, and one that a side removed stays. */
  readonly newer?: boolean;
}

/** Merges one of the files whose records begin with a name: its text, or what clashes. */
export function mergeAccounts(merge: AccountsMerge): string | ConflictOutcome {
  const { file, sides, newer = false } = merge;
  const ancestor = parseAccounts(merge.ancestor, file);
  const parsed = sides.map(side => ({ name: side.name, ...parseAccounts(side.text, file) }));
  const damage = findDamage(merge, ancestor, parsed);
  if (damage) return damage;
  const problems: string[] = [];
  const merged = mergeKeyed<AccountLine>({
    ancestor: ancestor.lines,
    sides: parsed.map(({ lines }) => lines),
    equal: (a, b) => a.text === b.text,
    settle: (_key, before, changes) => {
      const settled = mergeRecord({ file, sides, before, changes, newer });
      if ('line' in settled) return settled.line;
      problems.push(settled.problem);
      return undefined;
    },
  });
  problems.push(...sharedIds(file, merged, [{ name: 'the base', ...ancestor }, ...parsed]));
  const [first, ...others] = problems;
  if (first !== undefined) {
    return conflict(others.length === 0 ? first : `${first}; ${others.length} more accounts clash`, {
      excerpt: others.length === 0 ? [] : problems,
      // Taking one side's file whole would delete accounts that own files.
      remedies: newer ? [] : ['newer'],
    });
  }
  const lines = [...merged.values()];
  return joinLines([...lines.filter(line => !isNisLine(line)), ...lines.filter(isNisLine)].map(({ text }) => text));
}

interface NamedLines extends AccountLines {
  readonly name: string;
}

/** What is no record is left alone where the ancestor has it already; in a side alone it is damage. */
function findDamage(
  { path, file }: AccountsMerge,
  ancestor: AccountLines,
  sides: readonly NamedLines[],
): ConflictOutcome | undefined {
  const known = new Set(ancestor.malformed);
  for (const { name, malformed } of sides) {
    const line = malformed.find(candidate => !known.has(candidate));
    if (line === undefined) continue;
    // The line may hold a password.
    const which = file.endsWith('shadow') ? '' : `: ${shown(line)}`;
    return conflict(
      `/${shown(path)} of ${name} is damaged: a line is no record of a ${ACCOUNTS_FILES[file].noun}${which}`,
      { remedies: [] },
    );
  }
  return undefined;
}

interface RecordMerge {
  readonly file: AccountsFile;
  readonly sides: readonly AccountsText[];
  readonly before: AccountLine | undefined;
  readonly changes: readonly ChangedEntry<AccountLine>[];
  readonly newer: boolean;
}

interface PresentRecord {
  readonly name: string;
  readonly mtime: number;
  readonly fields: readonly string[];
}

function mergeRecord(merge: RecordMerge): { line: AccountLine } | { problem: string } {
  const { file, sides, before, changes, newer } = merge;
  const { noun, fields: rules } = ACCOUNTS_FILES[file];
  const present: PresentRecord[] = [];
  for (const { side, value } of changes) {
    const { name, mtime = 0 } = sides[side]!;
    if (value?.fields !== undefined) present.push({ name, mtime, fields: value.fields });
  }
  const account = `the ${noun} ${shown((before ?? changes.find(({ value }) => value)?.value)?.fields?.[0] ?? '')}`;
  const gone = changes.find(({ value }) => value === undefined);
  if (gone && !newer) {
    return { problem: `${account} was removed by ${sides[gone.side]!.name} and changed by ${present[0]?.name}` };
  }
  const merged: string[] = [];
  for (const [position, rule] of rules.entries()) {
    const versions = present.map(({ fields }) => fields[position]!);
    const clash = newer ? youngest(present).fields[position] : undefined;
    const result = mergeField(rule, before?.fields?.[position], versions) ?? clash;
    if (result === undefined) return { problem: `${account} ${describeClash(rule, present, position)}` };
    merged.push(result);
  }
  return { line: { text: merged.join(':'), fields: merged } };
}

/** Of those with one time, the one applied last. */
function youngest(present: readonly PresentRecord[]): PresentRecord {
  return present.reduce((best, record) => (record.mtime >= best.mtime ? record : best));
}

function mergeField(rule: FieldRule, before: string | undefined, versions: readonly string[]): string | undefined {
  if (rule.kind === 'set') return mergeSets(members(before ?? ''), versions.map(members)).join(',');
  const merged = mergeValue<string | undefined>(before, versions);
  if ('value' in merged) return merged.value;
  return rule.kind === 'newest' ? newest(versions) : undefined;
}

function members(field: string): string[] {
  return field === '' ? [] : field.split(',');
}

function newest(days: readonly string[]): string {
  const number = (day: string) => (/^\d{1,9}$/.test(day) ? Number(day) : -1);
  return days.reduce((latest, day) => (number(day) > number(latest) ? day : latest));
}

function describeClash(
  rule: FieldRule,
  present: readonly { readonly name: string; readonly fields: readonly string[] }[],
  position: number,
): string {
  const among = present.map(({ name }) => name).join(' and ');
  if (rule.kind === 'secret') return `has different passwords in ${among}`;
  const each = present.map(({ name, fields }) => `${shown(fields[position]!) || 'nothing'} in ${name}`);
  return `has the ${rule.name} ${each.join(' and ')}`;
}

const MAX_NAMES = 5;

/** Ids that several names got, unless the first of them and each other were together on a side or in the ancestor. */
function sharedIds(
  file: AccountsFile,
  merged: ReadonlyMap<string, AccountLine>,
  sources: readonly NamedLines[],
): string[] {
  const { idField, fields } = ACCOUNTS_FILES[file];
  if (idField === undefined) return [];
  const byId = new Map<string, string[]>();
  for (const { fields: values } of merged.values()) {
    const id = values?.[idField];
    if (id === undefined || values?.[0] === undefined) continue;
    const names = byId.get(id);
    if (names) names.push(values[0]);
    else byId.set(id, [values[0]]);
  }
  const problems: string[] = [];
  for (const [id, names] of byId) {
    if (names.length < 2) continue;
    const hasIn = ({ lines }: NamedLines, name: string) => lines.get(`@${name}`)?.fields?.[idField] === id;
    const isTogether = (name: string) => sources.some(source => hasIn(source, names[0]!) && hasIn(source, name));
    if (names.every(isTogether)) continue;
    const uses = names.slice(0, MAX_NAMES).map(name => {
      const source = sources.find(candidate => hasIn(candidate, name));
      return `${shown(name)} in ${source?.name ?? 'the merged file'}`;
    });
    const more = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : '';
    problems.push(`the ${fields[idField]!.name} ${shown(id)} is ${uses.join(' and ')}${more}`);
  }
  return problems;
}
