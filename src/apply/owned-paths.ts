import type { MergeContext, MergeDriver } from './driver.ts';
import type { MergeOutcome } from './merge-outcome.ts';
import type { Owner } from './settle-path.ts';

/** Names that have to be looked at because a package database gives them, or something below, to one side. */
export type OwnedPaths = ReadonlyMap<string, OwnedPaths>;

type Names = Map<string, Names>;

/** Asks drivers that know package databases for files that belong together. The first that gives a path away decides. */
export async function ownedPaths(
  drivers: readonly MergeDriver[],
  context: MergeContext,
  outcome: MergeOutcome,
): Promise<{ readonly owners: ReadonlyMap<string, Owner>; readonly owned: OwnedPaths }> {
  const owners = new Map<string, Owner>();
  const owned: Names = new Map();
  for (const driver of drivers) {
    const survey = await driver.survey?.(context);
    if (!survey) continue;
    for (const [path, side] of survey.owners) {
      if (owners.has(path)) continue;
      owners.set(path, { side, driver: driver.name });
      let at = owned;
      for (const name of path === '' ? [] : path.split('/')) {
        let below = at.get(name);
        if (below === undefined) at.set(name, (below = new Map()));
        at = below;
      }
    }
    for (const { path, sides, reason } of survey.conflicts) {
      const did = sides.map(side => ({ name: context.sides[side]!.name, did: 'changed what it says' }));
      outcome.addConflict({ ...reason, path, driver: driver.name, sides: did });
    }
  }
  return { owners, owned };
}
