import { readdir } from 'node:fs/promises';
import type { AbsPath } from '../core/paths.ts';
import { joinInside } from '../core/paths.ts';
import { errnoOf } from '../core/errors.ts';
import { readRecordsIn, type MountRecord } from './mount-record.ts';
import { removeDeadNamespaces } from './state-directory.ts';

/**
 * The mount that has a directory as its upper one, in whatever living mount namespace this user made it. Must be called
 * where all of the user's processes can be seen.
 *
 * @param home see `stateHome`
 * @param upper canonical
 */
export async function findUpperUser(home: AbsPath, upper: AbsPath): Promise<MountRecord | undefined> {
  const isAbsent = (error: unknown): [] => {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  };
  if ((await readdir(home).catch(isAbsent)).length === 0) return undefined;
  await removeDeadNamespaces(home);
  for (const name of await readdir(home)) {
    if (!/^mnt-\d+$/.test(name)) continue;
    const records = joinInside(joinInside(home, name), 'records');
    const user = (await readRecordsIn(records).catch(isAbsent)).find(record => record.upper?.upper === upper);
    if (user) return user;
  }
  return undefined;
}
