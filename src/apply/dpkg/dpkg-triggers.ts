import type { MergeContext, Remark } from '../driver.ts';
import { shown } from '../file-versions.ts';
import { knownOutput } from '../generated/trigger-outputs.ts';
import { infoStems, instanceKey, isInstalled, type PackageDatabase, type PackageRecord } from './dpkg-database.ts';
import type { PackageSide } from './dpkg-databases.ts';
import { listOf } from './dpkg-files.ts';
import { activationsOf, interestsOf, pathTriggers, type Interest } from './dpkg-interests.ts';
import { awaiting, pendingTriggers, withPending } from './dpkg-pending.ts';

const MOST_NAMED = 20;

export interface Triggered {
  /** The merged packages, those with triggers pending or awaited marked as dpkg marks them. */
  readonly records: readonly PackageRecord[];
  /** Files that programs of the image make in answer to a trigger, with the command. */
  readonly madeAnew: ReadonlyMap<string, readonly string[]>;
  readonly remarks: readonly Remark[];
}

/** A package that one side installed, changed or removed. */
interface Change {
  readonly side: number;
  readonly record: PackageRecord;
  readonly isThere: boolean;
}

/** Packages by trigger that activate it, and whether they wait. */
type Activators = Map<string, { readonly change: Change; readonly noAwait: boolean }[]>;

/**
 * Triggers that no side has processed for all that is there now: files that one brought and in which a package of another
 * is interested. Where a driver knows what would be made of them it is made anew; else the package is marked
 * `triggers-pending`, as dpkg leaves it when it puts triggers off, and whoever runs dpkg next settles it.
 */
export async function pendingAfterMerge(
  merged: readonly PackageRecord[],
  before: PackageDatabase,
  sides: readonly PackageSide[],
  context: MergeContext,
): Promise<Triggered> {
  const interests = await mergedInterests(merged, sides, context);
  const activators = await activatorsOf(new Set(interests.map(({ trigger }) => trigger)), before, sides, context);
  const byName = new Map(merged.filter(isInstalled).map(record => [record.name, record]));
  const pending = new Map<string, Set<string>>();
  const awaited = new Map<string, Set<string>>();
  const madeAnew = new Map<string, readonly string[]>();
  for (const interest of interests) {
    const record = recordOf(interest, merged)!;
    const by = (activators.get(interest.trigger) ?? []).filter(({ change }) => change.record.name !== record.name);
    const present = new Set(sides.filter(side => hasProcessed(side, record, interest)).map(({ side }) => side));
    if (by.length === 0 || isSettled({ record, present, by, before, sides })) continue;
    const output = await knownOutput(interest.trigger, context);
    const isUnited = output === 'united' && by.every(({ change }) => present.has(change.side));
    if (isUnited) continue;
    if (output !== undefined && output !== 'united') {
      madeAnew.set(output.path, output.command);
      continue;
    }
    add(pending, instanceKey(record), interest.trigger);
    for (const { change, noAwait } of by) {
      const waiting = byName.get(change.record.name);
      if (!change.isThere || waiting === undefined || noAwait || interest.noAwait) continue;
      add(awaited, instanceKey(waiting), awaiting(record));
    }
  }
  const records = merged.map(record => {
    const [own, others] = [pending.get(instanceKey(record)), awaited.get(instanceKey(record))];
    return own || others ? withPending(record, [...(own ?? [])], [...(others ?? [])]) : record;
  });
  return { records, madeAnew, remarks: remarksOf(merged, pending) };
}

/** Interests of packages that are installed in the end, each once. */
async function mergedInterests(
  merged: readonly PackageRecord[],
  sides: readonly PackageSide[],
  context: MergeContext,
): Promise<readonly Interest[]> {
  const found = new Map<string, Interest>();
  for (const { tree } of sides) {
    for (const interest of await interestsOf(tree, context.signal)) {
      const record = recordOf(interest, merged);
      if (record) found.set(`${interest.trigger}\0${instanceKey(record)}`, interest);
    }
  }
  return [...found.values()];
}

function recordOf({ name, architecture }: Interest, merged: readonly PackageRecord[]): PackageRecord | undefined {
  return merged.find(
    record =>
      record.name === name &&
      isInstalled(record) &&
      (architecture === undefined || record.architecture === architecture),
  );
}

async function activatorsOf(
  triggers: ReadonlySet<string>,
  before: PackageDatabase,
  sides: readonly PackageSide[],
  context: MergeContext,
): Promise<Activators> {
  const activators: Activators = new Map();
  const activate = (trigger: string, change: Change, noAwait: boolean) => {
    const known = activators.get(trigger);
    if (known === undefined) activators.set(trigger, [{ change, noAwait }]);
    else if (known.at(-1)!.change !== change) known.push({ change, noAwait });
  };
  for (const side of sides) {
    for (const change of changesOf(side, before)) {
      const tree = change.isThere ? side.tree : context.ancestor;
      if (tree === undefined) continue;
      for (const path of await listOf(tree, change.record, context.signal)) {
        for (const trigger of pathTriggers(path)) if (triggers.has(trigger)) activate(trigger, change, false);
      }
      for (const { trigger, noAwait } of await activationsOf(tree, infoStems(change.record), context.signal)) {
        if (triggers.has(trigger)) activate(trigger, change, noAwait);
      }
    }
  }
  return activators;
}

function changesOf({ side, records }: PackageSide, before: PackageDatabase): readonly Change[] {
  const changes: Change[] = [];
  for (const [key, record] of records) {
    const known = before.get(key);
    if (isInstalled(record) && !(isInstalled(known) && known.version === record.version)) {
      changes.push({ side, record, isThere: true });
    }
  }
  for (const [key, record] of before) {
    if (isInstalled(record) && !isInstalled(records.get(key))) changes.push({ side, record, isThere: false });
  }
  return changes;
}

/** Whether a side has the package in working order, so that it has answered the trigger for all that the side has. */
function hasProcessed({ records }: PackageSide, record: PackageRecord, { trigger }: Interest): boolean {
  const own = records.get(instanceKey(record));
  return isInstalled(own) && !pendingTriggers(own).includes(trigger);
}

/**
 * Whether some side has processed the trigger for everything that activated it anywhere, and no other side made something
 * else of less.
 */
function isSettled({
  record,
  present,
  by,
  before,
  sides,
}: {
  readonly record: PackageRecord;
  readonly present: ReadonlySet<number>;
  readonly by: readonly { readonly change: Change }[];
  readonly before: PackageDatabase;
  readonly sides: readonly PackageSide[];
}): boolean {
  const hasSeen = (side: PackageSide) => by.every(({ change }) => isLike(side.records, change));
  const brought = (side: PackageSide) => changesOf(side, before).some(change => change.record.name === record.name);
  return sides.some(
    side => present.has(side.side) && hasSeen(side) && sides.every(other => hasSeen(other) || !brought(other)),
  );
}

function isLike(records: PackageDatabase, { record, isThere }: Change): boolean {
  const own = records.get(instanceKey(record));
  return isThere ? isInstalled(own) && own.version === record.version : !isInstalled(own);
}

function remarksOf(
  merged: readonly PackageRecord[],
  pending: ReadonlyMap<string, ReadonlySet<string>>,
): readonly Remark[] {
  if (pending.size === 0) return [];
  const named = merged.flatMap(record => {
    const triggers = pending.get(instanceKey(record));
    return triggers ? `${record.name} (${[...triggers].map(shown).join(' ')})` : [];
  });
  const more = named.length > MOST_NAMED ? ` and ${named.length - MOST_NAMED} more` : '';
  const text =
    `triggers are pending, because one image brought files for packages of another: ` +
    `${named.slice(0, MOST_NAMED).join(', ')}${more}; the next run of dpkg or apt settles them, such as ` +
    '`dpkg --configure -a` in a run of the image';
  return [{ level: 'warning', text }];
}

function add(sets: Map<string, Set<string>>, key: string, value: string): void {
  const known = sets.get(key);
  if (known) known.add(value);
  else sets.set(key, new Set([value]));
}
