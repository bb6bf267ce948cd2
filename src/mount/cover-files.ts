import { errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { chmod, chown, mkdir, utimes, writeFile } from '../host/files.ts';
import { disinherit } from '../host/usual-settings.ts';

/** A directory on the way to a cover, with the attributes that the image gives it. */
export interface CoverParent {
  /** Canonical path in the image; empty for its root. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSeconds: number;
}

/** An empty file on top of all layers, to mount on where the image has something else, or nothing. */
export interface Cover {
  /** Canonical path in the image, free of symlinks. */
  readonly path: string;
  /** From the root down. */
  readonly parents: readonly CoverParent[];
}

/**
 * Makes the uppermost layer that holds covers. Of directories that several layers have, overlayfs shows the uppermost one's
 * attributes, so they get those of the image. An owner who cannot be set here cannot be seen in the image either.
 */
export async function makeCovers(directory: AbsPath, covers: readonly Cover[]): Promise<void> {
  await mkdir(directory, { mode: 0o755 });
  await disinherit(directory, 0o755);
  const parents = new Map(covers.flatMap(cover => cover.parents.map(parent => [parent.path, parent])));
  for (const { path } of parents.values()) if (path !== '') await mkdir(joinInside(directory, path));
  for (const { path } of covers) await writeFile(joinInside(directory, path), '', { mode: 0o644 });
  for (const { path, mode, uid, gid, mtimeSeconds } of [...parents.values()].toReversed()) {
    const place = path === '' ? directory : joinInside(directory, path);
    await chown(place, uid, gid).catch((error: unknown) => {
      if (!['EINVAL', 'EPERM'].includes(errnoOf(error) ?? '')) throw error;
    });
    await chmod(place, mode);
    await utimes(place, mtimeSeconds, mtimeSeconds);
  }
}
