import type { IdRange, SubordinateIds } from '../host/subordinate-ids.ts';

/** One line of a user namespace's id map (runtime-spec, config-linux.md, "User namespace mappings"). */
export interface IdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

export interface IdMappings {
  readonly uids: readonly IdMapping[];
  readonly gids: readonly IdMapping[];
}

/** Lines that a map takes at most (user_namespaces(7)). */
const MAX_LINES = 340;

/** Root of the container is the user; the ids from 1 on are the user's subordinate ones, in their order. */
export function mapToUser(user: { readonly uid: number; readonly gid: number }, ids: SubordinateIds): IdMappings {
  return { uids: lines(user.uid, ids.uids), gids: lines(user.gid, ids.gids) };
}

export function isMapped(mappings: readonly IdMapping[], id: number): boolean {
  return mappings.some(({ containerID, size }) => id >= containerID && id < containerID + size);
}

function lines(own: number, ranges: readonly IdRange[]): readonly IdMapping[] {
  const mappings: IdMapping[] = [{ containerID: 0, hostID: own, size: 1 }];
  let next = 1;
  for (const { first, count } of ranges.slice(0, MAX_LINES - 1)) {
    mappings.push({ containerID: next, hostID: first, size: count });
    next += count;
  }
  return mappings;
}
