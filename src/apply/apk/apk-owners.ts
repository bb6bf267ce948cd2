import { mapId, type OwnerMap } from '../../squashfs/owner-map.ts';

/**
 * A text of `lib/apk/db/installed` with other owners: where a directory or file has others than root, or an unusual mode,
 * apk records them by number (`M:` and `a:`), and gives the directory to them again when it next changes it.
 */
export function renumberInstalled(text: string, { uids, gids }: OwnerMap): string {
  return text.replaceAll(
    /^([Ma]):(\d{1,10}):(\d{1,10})(?=:)/gm,
    (_line, field: string, uid: string, gid: string) =>
      `${field}:${mapId(uids, Number(uid))}:${mapId(gids, Number(gid))}`,
  );
}
