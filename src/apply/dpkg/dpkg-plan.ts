import type { ConflictResolution } from '../../recipe/model.ts';
import type { ConflictReason, MergeContext, Remark, Survey } from '../driver.ts';
import { changedSides } from '../changed-sides.ts';
import { brokenReason, decidePackage, type PackageChange } from './dpkg-decide.ts';
import {
  compareRecords,
  infoStems,
  instanceKey,
  isInstalled,
  type PackageDatabase,
  type PackageRecord,
} from './dpkg-database.ts';
import { packageDatabases, STATUS, type PackageSide } from './dpkg-databases.ts';
import { filesOfPackage } from './dpkg-files.ts';
import { relationConflicts, sharedNameConflicts } from './dpkg-coherence.ts';
import { pendingAfterMerge } from './dpkg-triggers.ts';
import { overwrittenFiles } from './dpkg-overwritten.ts';
import { conflict, isConflict, shown, type ConflictOutcome } from '../file-versions.ts';
import { oncePerMerge } from '../once-per-merge.ts';
import { joinStanzas } from '../packages/stanzas.ts';
import { mergeKeyed } from '../text/three-way.ts';

const INFO = 'var/lib/dpkg/info';

/** What becomes of the packages of several trees. */
export interface PackagePlan {
  /** The merged database, or why it cannot be read. */
  readonly status: string | ConflictOutcome;
  readonly owners: ReadonlyMap<string, number>;
  readonly conflicts: Survey['conflicts'];
  /** Files that programs of the image make in answer to a trigger, with the command. */
  readonly madeAnew: ReadonlyMap<string, readonly string[]>;
  readonly remarks: readonly Remark[];
}

/** The plan for a merge, made once; `undefined` where fewer than two sides changed the database. */
export function packagePlan(context: MergeContext): Promise<PackagePlan | undefined> {
  return planOnce(STATUS, context);
}

const planOnce = oncePerMerge((_path: typeof STATUS, context) => makePlan(context));

async function makePlan(context: MergeContext): Promise<PackagePlan | undefined> {
  const databases = await readDatabases(context);
  if (databases === undefined) return undefined;
  if (isConflict(databases)) {
    return { status: databases, owners: new Map(), conflicts: [], madeAnew: new Map(), remarks: [] };
  }
  const { before, sides } = databases;
  const owners = new Map<string, number>();
  const conflicts: Survey['conflicts'][number][] = [];
  const contested: { readonly changes: readonly PackageChange[]; readonly before: PackageRecord | undefined }[] = [];
  const report = (record: PackageRecord, involved: readonly number[], reason: ConflictReason) =>
    conflicts.push({ path: `${INFO}/${infoStems(record)[0]}.list`, sides: involved, reason });
  const keyOf = packageKeys(before, sides);
  const rekeyed = (records: PackageDatabase) => new Map([...records.values()].map(item => [keyOf(item), item]));
  const merged = mergeKeyed<PackageRecord>({
    ancestor: rekeyed(before),
    sides: sides.map(({ records }) => rekeyed(records)),
    equal: (a, b) => a.stanza === b.stanza,
    settle: (_key, ancestor, changes) => {
      const named = changes.map(({ side, value }) => ({ ...sides[side]!, record: value }));
      contested.push({ before: ancestor, changes: named });
      return decidePackage(ancestor, named, undefined).record;
    },
  });
  for (const { before: ancestor, changes } of contested) {
    const some = (ancestor ?? changes.find(({ record }) => record)?.record)!;
    let rule = packageRule(context, some);
    const needsFiles = decidePackage(ancestor, changes, rule).owner !== undefined;
    const files = needsFiles ? await filesOfPackage(changes, context) : [];
    if (rule === undefined && files.length > 0 && files.every(path => context.ruleFor(path) === 'newer'))
      rule = 'newer';
    const decision = decidePackage(ancestor, changes, rule);
    const key = keyOf(some);
    if (decision.record) merged.set(key, decision.record);
    else merged.delete(key);
    if (decision.owner !== undefined) for (const path of files) owners.set(path, decision.owner);
    if (decision.conflict) {
      report(
        some,
        changes.map(({ side }) => side),
        decision.conflict,
      );
    }
  }
  for (const { side, name, records } of sides) {
    for (const [key, record] of records) {
      if (before.get(key)?.stanza === record.stanza) continue;
      const reason = brokenReason({ side, name, record }, packageRule(context, record));
      if (reason) report(record, [side], reason);
    }
  }
  const records = [...merged.values()];
  const allowed = (record: PackageRecord) => packageRule(context, record) === 'merge';
  for (const find of [sharedNameConflicts, relationConflicts]) {
    for (const { record, involved, reason } of find(records, sides))
      if (!allowed(record)) report(record, involved, reason);
  }
  const isExcluding = conflicts.some(({ reason }) => reason.excludes);
  const overwritten = isExcluding ? undefined : await overwrittenFiles(before, sides, context);
  for (const [path, side] of overwritten?.owners ?? []) if (!owners.has(path)) owners.set(path, side);
  for (const { record, involved, reason } of overwritten?.conflicts ?? [])
    if (!allowed(record)) report(record, involved, reason);
  const inOrder = [before, ...sides.map(({ records: own }) => own)].every(isSorted);
  if (inOrder) records.sort(compareRecords);
  const triggered = await pendingAfterMerge(records, before, sides, context);
  const status = joinStanzas(triggered.records.map(({ stanza }) => stanza));
  return { status, owners, conflicts, madeAnew: triggered.madeAnew, remarks: triggered.remarks };
}

/** Rules for a package are those for the list of its files, then those for the database. */
function packageRule(context: MergeContext, record: PackageRecord): ConflictResolution | undefined {
  for (const stem of infoStems(record)) {
    const rule = context.ruleFor(`${INFO}/${stem}.list`);
    if (rule !== undefined) return rule;
  }
  return context.ruleFor(STATUS);
}

/**
 * How records are told apart: by name alone where that is enough, since a package may change its architecture; by
 * architecture too where several can be installed side by side.
 */
function packageKeys(before: PackageDatabase, sides: readonly PackageSide[]): (record: PackageRecord) => string {
  const several = new Set<string>();
  const single = new Set<string>();
  for (const records of [before, ...sides.map(side => side.records)]) {
    const seen = new Set<string>();
    for (const { name, coinstallable } of records.values()) {
      if (seen.has(name)) several.add(name);
      seen.add(name);
      if (!coinstallable) single.add(name);
    }
  }
  return record => (several.has(record.name) || !single.has(record.name) ? instanceKey(record) : record.name);
}

function isSorted(records: PackageDatabase): boolean {
  let previous: PackageRecord | undefined;
  for (const record of records.values()) {
    if (previous && compareRecords(previous, record) > 0) return false;
    previous = record;
  }
  return true;
}

async function readDatabases(
  context: MergeContext,
): Promise<{ before: PackageDatabase; sides: readonly PackageSide[] } | ConflictOutcome | undefined> {
  if (changedSides(context, await context.versionsOf(STATUS)).length < 2) return undefined;
  const databases = await packageDatabases(STATUS, context);
  if (isConflict(databases)) return databases;
  const { ancestor: before } = databases;
  const sides: PackageSide[] = [];
  for (const [side, { name, tree }] of context.sides.entries()) {
    const records = databases.sides[side];
    if (records === before || tree === undefined) continue;
    if (records === undefined) return conflict(`${name} deleted the package database, which others changed`);
    const incoherent = await findIncoherence({ side, name, tree, records }, before, context.signal);
    if (incoherent !== undefined) return conflict(`the package database of ${name} is damaged: ${incoherent}`);
    sides.push({ side, name, tree, records });
  }
  return sides.length < 2 ? undefined : { before, sides };
}

/** Signs in the tree that its database does not tell all. */
async function findIncoherence(
  { tree, records }: PackageSide,
  before: PackageDatabase,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const updates = await tree.lookup('var/lib/dpkg/updates', signal);
  if (updates) {
    for await (const { name } of tree.readDirectory(updates, signal)) {
      if (/^\d+$/.test(name)) return 'dpkg was interrupted and left changes in /var/lib/dpkg/updates';
    }
  }
  const names = new Set([...records.values()].map(({ name }) => name));
  const lost: string[] = [];
  for (const record of before.values()) {
    if (names.has(record.name) || !isInstalled(record)) continue;
    for (const stem of infoStems(record)) {
      if ((await tree.lookup(`${INFO}/${stem}.list`, signal)) === undefined) continue;
      lost.push(record.name);
      break;
    }
  }
  const [first] = lost;
  if (first === undefined) return undefined;
  const more = lost.length === 1 ? '' : ` and ${lost.length - 1} more, whose files are there`;
  return `it lacks ${shown(first)}${more === '' ? ', whose files are there' : more}`;
}
