import type { DriverName, MergeContext, MergeDriver } from './driver.ts';
import type { MergeOutcome } from './merge-outcome.ts';
import type { Owner } from './settlement.ts';

/** Names that have to be looked at because a package database says something of them, or of something below. */
export type OwnedPaths = ReadonlyMap<string, OwnedPaths>;

/** What the surveys of all drivers say. */
export interface SurveyedPaths {
  readonly owners: ReadonlyMap<string, Owner>;
  readonly owned: OwnedPaths;
  /** Of all surveys. */
  readonly joint: ReadonlySet<string>;
  readonly elsewhere: ReadonlyMap<string, Relocation>;
}

/** Where trees, by position (-1: the ancestor), have what belongs to a path, and which driver says so. */
export interface Relocation {
  readonly driver: DriverName;
  readonly at: ReadonlyMap<number, string | undefined>;
}

type Names = Map<string, Names>;

/** Asks drivers that know package databases for files that belong together. The first that gives a path away decides. */
export async function ownedPaths(
  drivers: readonly MergeDriver[],
  context: MergeContext,
  outcome: MergeOutcome,
): Promise<SurveyedPaths> {
  const owners = new Map<string, Owner>();
  const owned: Names = new Map();
  const joint = new Set<string>();
  const elsewhere = new Map<string, Relocation>();
  for (const driver of drivers) {
    const survey = await driver.survey?.(context);
    if (!survey) continue;
    for (const path of survey.visited ?? []) addNames(owned, path);
    for (const path of survey.joint ?? []) {
      joint.add(path);
      addNames(owned, path);
    }
    for (const remark of survey.remarks ?? []) outcome.remark(remark);
    for (const [path, at] of survey.elsewhere ?? []) {
      elsewhere.set(path, { driver: driver.name, at });
      addNames(owned, path);
    }
    for (const [path, side] of survey.owners) {
      if (owners.has(path)) continue;
      owners.set(path, { side, driver: driver.name });
      addNames(owned, path);
    }
    for (const { path, sides, reason } of survey.conflicts) {
      const did = sides.map(side => ({ name: context.sides[side]!.name, did: 'changed what it says' }));
      outcome.addConflict({ ...reason, path, driver: driver.name, sides: did });
    }
  }
  return { owners, owned, joint, elsewhere };
}

function addNames(owned: Names, path: string): void {
  let at = owned;
  for (const name of path === '' ? [] : path.split('/')) {
    let below = at.get(name);
    if (below === undefined) at.set(name, (below = new Map()));
    at = below;
  }
}
