import type { AbsPath } from '../core/paths.ts';
import { joinInside } from '../core/paths.ts';
import { errnoOf } from '../core/errors.ts';
import { readdir } from '../host/files.ts';
import { readRecordsIn, type MountRecord } from './mount-record.ts';
import { isWithin } from './mount-target.ts';
import { removeDeadNamespaces, seenNamespaces } from './state-directory.ts';

/** A mount that writes into a directory. */
export interface UpperUser {
  readonly record: MountRecord;
  /** Whether a process is seen in its mount namespace. If none is, it may be gone, or out of sight. */
  readonly isSeen: boolean;
  /** The state directory of that namespace. */
  readonly state: AbsPath;
}

/**
 * The mount that writes into a directory, into one in it, or into one that it is in, in whatever mount namespace this user
 * made it; one that is seen rather than one that may be gone. What an overlay shows whose upper directory changes behind
 * its back is undefined (kernel, Documentation/filesystems/overlayfs, "Changes to underlying filesystems").
 *
 * @param home see `stateHome`
 * @param upper canonical
 */
export async function findUpperUser(home: AbsPath, upper: AbsPath): Promise<UpperUser | undefined> {
  const isAbsent = (error: unknown): [] => {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  };
  if ((await readdir(home).catch(isAbsent)).length === 0) return undefined;
  const seen = await seenNamespaces();
  await removeDeadNamespaces(home, seen);
  let found: UpperUser | undefined;
  for (const name of await readdir(home)) {
    if (!/^mnt-\d+$/.test(name)) continue;
    const state = joinInside(home, name);
    const records = await readRecordsIn(joinInside(state, 'records')).catch(isAbsent);
    const record = records.find(candidate => overlaps(candidate, upper));
    if (record && !found?.isSeen) found = { record, state, isSeen: seen.has(name) };
  }
  return found;
}

function overlaps({ upper: writable }: MountRecord, upper: AbsPath): boolean {
  if (!writable) return false;
  const places = writable.scratch === undefined ? [writable.upper, writable.work] : [writable.scratch];
  return places.some(place => isWithin(upper, place) || isWithin(place, upper));
}
