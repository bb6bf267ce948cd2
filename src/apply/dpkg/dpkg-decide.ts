import type { ConflictResolution } from '../../recipe/model.ts';
import { conflictReason } from '../file-versions.ts';
import { compareDebianVersions } from './debian-version.ts';
import { isBroken, isInstalled, isPresent, parseRecord, type PackageRecord } from './dpkg-database.ts';
import { FIELD_ORDER } from './dpkg-fields.ts';
import type { ConflictReason } from '../driver.ts';
import { formatStanza, isDamaged, parseFields, type Field, type Fields } from '../packages/stanzas.ts';
import { linesByFirstWord, lastValue, mergeFields, setOfWords, type FieldMerge } from '../packages/record-merge.ts';

/** What one side made of a package; `undefined`: no word of it any more. */
export interface PackageChange {
  /** Position among the problem's sides, and how reports call it. */
  readonly side: number;
  readonly name: string;
  readonly record: PackageRecord | undefined;
}

export interface PackageDecision {
  readonly record: PackageRecord | undefined;
  /** The side whose files of the package count; `undefined` where all have the same. */
  readonly owner: number | undefined;
  /** What the user has to decide; the rest is then the best guess. */
  readonly conflict?: ConflictReason;
}

const FIELD_RULES: ReadonlyMap<string, FieldMerge> = new Map([
  ['status', mergeStatus],
  ['conffiles', linesByFirstWord],
  ['config-version', lastValue],
  ['triggers-pending', setOfWords(' ')],
  ['triggers-awaited', setOfWords(' ')],
]);

/**
 * Decides between sides that changed a package differently.
 *
 * @param changes at least two, in the order of application
 * @param rule what the recipe says of the package
 */
export function decidePackage(
  before: PackageRecord | undefined,
  changes: readonly PackageChange[],
  rule: ConflictResolution | undefined,
): PackageDecision {
  const chosen = rule === 'first' ? changes[0] : rule === 'last' ? changes.at(-1) : undefined;
  if (chosen) return { record: chosen.record, owner: chosen.side };
  const present = changes.filter(({ record }) => isInstalled(record));
  const gone = changes.filter(({ record }) => !isInstalled(record));
  const [someoneGone] = gone;
  if (present.length === 0) {
    // One removed it and one purged it: nothing of it stays.
    const purged = gone.find(({ record }) => record === undefined) ?? gone.at(-1)!;
    return { record: purged.record, owner: purged.side };
  }
  const newest = newestOf(present);
  const settled = settleVersion(before, newest);
  const needsWord = rule !== 'newer';
  if (someoneGone && isInstalled(before) && needsWord) {
    return { ...settled, owner: newest[0]!.side, conflict: removedReason(before, someoneGone, present) };
  }
  if (newest.length < present.length && needsWord) {
    return { ...settled, owner: newest[0]!.side, conflict: versionsReason(before, present) };
  }
  return newest.length < changes.length ? { ...settled, owner: newest[0]!.side } : settled;
}

/** Those with the highest version, in order. */
function newestOf(present: readonly PackageChange[]): readonly PackageChange[] {
  let newest = present.slice(0, 1);
  for (const change of present.slice(1)) {
    const difference = compareDebianVersions(change.record!.version, newest[0]!.record!.version);
    if (difference > 0) newest = [change];
    else if (difference === 0) newest.push(change);
  }
  return newest;
}

/** Sides that have the package in one version: field by field. */
function settleVersion(before: PackageRecord | undefined, changes: readonly PackageChange[]): PackageDecision {
  const first = changes[0]!.record!;
  if (changes.every(({ record }) => record!.stanza === first.stanza)) return { record: first, owner: undefined };
  const comparable = before !== undefined && before.version === first.version;
  const ancestor = comparable ? parseFields(before.stanza) : (new Map() as Fields);
  const sides = changes.map(({ record }) => parseFields(record!.stanza));
  const guess = { record: first, owner: undefined };
  const damaged = changes[sides.findIndex(isDamaged)];
  if (isDamaged(ancestor) || damaged) {
    const message = `the stanza of ${first.name} in ${damaged?.name ?? 'the base'} is damaged`;
    return { ...guess, conflict: conflictReason(message, {}) };
  }
  const merged = mergeFields({
    ancestor,
    sides: sides.filter((side): side is Fields => !isDamaged(side)),
    ruleOf: key => FIELD_RULES.get(key),
    order: FIELD_ORDER,
  });
  if ('clash' in merged) {
    const names = changes.map(({ name }) => name).join(' and ');
    const message = `${first.name} ${first.version} has another ${merged.clash} in each of ${names}`;
    return { ...guess, conflict: conflictReason(message, {}) };
  }
  const record = parseRecord(formatStanza(withState(merged)));
  return { record: isDamaged(record) ? first : record, owner: undefined };
}

/** Which triggers are pending decides the state. */
function withState(fields: readonly Field[]): readonly Field[] {
  const has = (key: string) => fields.some(({ name }) => name.toLowerCase() === key);
  const state = has('triggers-awaited')
    ? 'triggers-awaited'
    : has('triggers-pending')
      ? 'triggers-pending'
      : 'installed';
  return fields.map(field => {
    if (field.name.toLowerCase() !== 'status') return field;
    const [want, flag] = field.value.split(/\s+/);
    return { ...field, value: `${want} ${flag} ${state}` };
  });
}

/** A package that one holds is held; the state follows from other fields. */
function mergeStatus(
  ancestor: string | undefined,
  values: readonly (string | undefined)[],
): { value: string } | 'clash' {
  const wantOf = (value: string | undefined) => value?.split(/\s+/)[0];
  const before = wantOf(ancestor);
  const wants = new Set(values.map(wantOf).filter(want => want !== before));
  const [only] = wants;
  const want = wants.size === 0 ? before : wants.size === 1 ? only : wants.has('hold') ? 'hold' : undefined;
  return want === undefined ? 'clash' : { value: `${want} ok installed` };
}

function versionsReason(before: PackageRecord | undefined, present: readonly PackageChange[]): ConflictReason {
  const { name } = present[0]!.record!;
  const versions = present.map(change => `${change.record!.version} in ${change.name}`).join(' and ');
  const base = isInstalled(before) ? ` (${before.version} in the base)` : '';
  return conflictReason(`${name} is ${versions}${base}`, { remedies: ['newer', 'last', 'first'] });
}

function removedReason(before: PackageRecord, gone: PackageChange, present: readonly PackageChange[]): ConflictReason {
  const { name, record } = present[0]!;
  const did = record!.version === before.version ? 'changed' : `changed to ${record!.version}`;
  return conflictReason(`${before.name} ${before.version} was removed by ${gone.name} and ${did} by ${name}`, {
    remedies: ['newer', 'last', 'first'],
  });
}

/** A package on which dpkg was interrupted; `undefined` where all is well or the recipe accepts it. */
export function brokenReason(
  { name, record }: PackageChange,
  rule: ConflictResolution | undefined,
): ConflictReason | undefined {
  if (record === undefined || !isPresent(record.status[2]) || !isBroken(record)) return undefined;
  if (rule !== undefined && rule !== 'error') return undefined;
  const state = record.status[1] === 'reinstreq' ? 'in need of being installed again' : record.status[2];
  return conflictReason(`${record.name} ${record.version} is ${state} in ${name}`, {});
}
