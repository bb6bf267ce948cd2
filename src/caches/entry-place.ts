import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { lstat, readdir, rename, rm } from '../host/files.ts';
import { removeTree } from '../host/tools/copy.ts';

/** What is being removed has such a name, beside its old one. */
const REMOVED = /^\.tmp-removed-[0-9a-f]{16}$/;

/** What lies at a path: room on the disk, and when it was used or written last. */
export interface PlaceFacts {
  readonly sizeBytes: number;
  readonly lastUsed: Date;
}

/** `undefined` where nothing is. Links are not followed. What cannot be looked at takes no room. */
export async function placeFacts(place: string): Promise<PlaceFacts | undefined> {
  const found = await lstat(place).catch(() => undefined);
  if (!found) return undefined;
  let sizeBytes = found.blocks * 512;
  if (found.isDirectory()) {
    for (const name of await readdir(place).catch(() => [])) {
      sizeBytes += (await placeFacts(path.join(place, name)))?.sizeBytes ?? 0;
    }
  }
  // Listing a directory counts as access to it; who uses one notes that, see `noteUse`.
  const accessMs = found.isDirectory() ? 0 : found.atimeMs;
  return { sizeBytes, lastUsed: new Date(Math.max(accessMs, found.mtimeMs)) };
}

/** Names in a directory; none where it is missing. */
export async function namesIn(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch((error: unknown) => {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return [];
    throw error;
  });
}

/** Removes a file or tree so that a kill in the midst leaves nothing under its name. */
export async function removePlace(place: AbsPath): Promise<void> {
  if ((await lstat(place).catch(() => undefined))?.isDirectory() !== true) return rm(place, { force: true });
  const away = joinInside(path.dirname(place), `.tmp-removed-${randomBytes(8).toString('hex')}`);
  try {
    await rename(place, away);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  await removeTree(away);
}

/** Removes what a killed `removePlace` has left in a directory, and other names that are nobody's. */
export async function sweepPlaces(directory: AbsPath, isLeftover: (name: string) => boolean = () => false) {
  for (const name of await namesIn(directory)) {
    if (REMOVED.test(name) || isLeftover(name)) await removeTree(joinInside(directory, name));
  }
}
