import type { ConflictReason } from '../driver.ts';
import { conflictReason, shown } from '../file-versions.ts';
import { isInstalled, type PackageDatabase, type PackageRecord } from './dpkg-database.ts';
import { Installed, type BrokenRelation } from './dpkg-relations.ts';

/** What `dpkg` or `apt-get check` would find wrong with merged packages though no side is wrong by itself. */
export interface Incoherence {
  readonly record: PackageRecord;
  /** Positions of the sides that brought the packages. */
  readonly involved: readonly number[];
  readonly reason: ConflictReason;
}

interface NamedRecords {
  readonly side: number;
  readonly name: string;
  readonly records: PackageDatabase;
}

/** Packages installed for several architectures that cannot be. */
export function sharedNameConflicts(
  merged: readonly PackageRecord[],
  sides: readonly NamedRecords[],
): readonly Incoherence[] {
  const byName = new Map<string, PackageRecord[]>();
  for (const record of merged) {
    if (isInstalled(record)) byName.set(record.name, [...(byName.get(record.name) ?? []), record]);
  }
  const found: Incoherence[] = [];
  for (const [name, [record, ...others]] of byName) {
    const other = others.find(item => !item.coinstallable || item.version !== record?.version);
    if (record === undefined || other === undefined) continue;
    const [left, right] = [holders(sides, record), holders(sides, other)];
    const message =
      `${name} is for ${record.architecture} in ${nameOf(left)} and for ${other.architecture} in ${nameOf(right)}, ` +
      'and both cannot be installed together';
    found.push({ record, involved: positions([...left, ...right]), reason: excludingReason(message) });
  }
  return found;
}

/** Relations that hold in the tree of each side and not among the merged packages; two packages are named once. */
export function relationConflicts(
  merged: readonly PackageRecord[],
  sides: readonly NamedRecords[],
): readonly Incoherence[] {
  const installed = new Installed(merged);
  const own = new Map<number, Installed>();
  const told = new Set<string>();
  const found: Incoherence[] = [];
  for (const record of merged) {
    if (!isInstalled(record)) continue;
    for (const relation of installed.broken(record)) {
      const holding = holders(sides, record);
      const wasBroken = holding.some(({ side, records }) => {
        const known = own.get(side) ?? new Installed(records.values());
        own.set(side, known);
        return known.broken(record).some(({ field, text }) => field === relation.field && text === relation.text);
      });
      if (wasBroken) continue;
      const against = relation.by ? holders(sides, relation.by) : [];
      const pair = [record.name, relation.by?.name ?? relation.text].toSorted().join(' ');
      if (relation.by && told.has(pair)) continue;
      told.add(pair);
      const all = holding.length === 0 ? sides : holding;
      const message = relationMessage(record, relation, { holding, against });
      const reason = relation.by ? excludingReason(message) : conflictReason(message, { remedies: [] });
      found.push({ record, involved: positions([...all, ...against]), reason });
    }
  }
  return found;
}

function relationMessage(
  record: PackageRecord,
  { field, text, by }: BrokenRelation,
  { holding, against }: { readonly holding: readonly NamedRecords[]; readonly against: readonly NamedRecords[] },
): string {
  const whose = `${record.name} ${record.version} of ${nameOf(holding)}`;
  if (by === undefined) return `${whose} depends on ${shown(text)}, which the merged packages do not satisfy`;
  const verb = field === 'Breaks' ? 'breaks' : 'conflicts with';
  const isNamed = text.split(/[\s:(]/)[0] === by.name;
  const other = `${by.name} ${by.version} of ${nameOf(against)}`;
  const what = isNamed ? `${shown(text)}, and so with ${other}` : `${shown(text)}, which ${other} provides`;
  return `${whose} ${verb} ${what}: only one of them can be installed, so apply one of these images alone`;
}

function excludingReason(message: string): ConflictReason {
  return { ...conflictReason(message, { remedies: [] }), excludes: true };
}

/** The sides whose database has exactly this record. */
function holders(
  sides: readonly NamedRecords[],
  { stanza, name, architecture }: PackageRecord,
): readonly NamedRecords[] {
  return sides.filter(({ records }) => records.get(`${name}:${architecture}`)?.stanza === stanza);
}

function nameOf(holding: readonly NamedRecords[]): string {
  return holding.length === 0 ? 'the merged packages' : holding.map(({ name }) => name).join(' and ');
}

function positions(sides: readonly NamedRecords[]): readonly number[] {
  return [...new Set(sides.map(({ side }) => side))].toSorted((a, b) => a - b);
}
