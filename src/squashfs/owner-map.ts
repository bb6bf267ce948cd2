/** `count` ids from `from` on become those from `to` on. */
export interface IdRange {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** Other ids for the owners and groups of a layer's files. Ranges do not overlap; what lies in none stays. */
export interface OwnerMap {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

export interface OwnerIds {
  readonly uid: number;
  readonly gid: number;
}

export function mapId(ranges: readonly IdRange[], id: number): number {
  for (const { from, to, count } of ranges) if (id >= from && id < from + count) return to + (id - from);
  return id;
}

export function mapsOwner({ uids, gids }: OwnerMap, { uid, gid }: OwnerIds): boolean {
  return mapId(uids, uid) !== uid || mapId(gids, gid) !== gid;
}

/** Whether files with owners or groups among these ids may be concerned. */
export function mapsAny({ uids, gids }: OwnerMap, ids: Iterable<number>): boolean {
  for (const id of ids) if (mapId(uids, id) !== id || mapId(gids, id) !== id) return true;
  return false;
}
