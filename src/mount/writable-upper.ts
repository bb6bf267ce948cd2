import path from 'node:path';
import { StkError, errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { chmod, chown, lstat, mkdir, readdir, realpath } from '../host/files.ts';
import { unfitForUpper } from '../host/privileges.ts';
import { failedWith } from '../host/syscalls/failure.ts';
import { removeTree } from '../host/tools/copy.ts';
import { dropInheritedAcls } from '../host/usual-settings.ts';
import type { Writable } from './mount-record.ts';
import { readBase } from './upper-base.ts';

/** Where a writable mount keeps what is written: a directory of the user's, or one that goes with the mount. */
export type UpperWish = { readonly directory: AbsPath } | { readonly scratchBelow: AbsPath };

/**
 * Says where the upper and work directories will be. Nothing is made yet, so that a record can name them first.
 * Throws `missing-capability` on filesystems that cannot hold an upper directory.
 */
export async function planUpper(wish: UpperWish, id: string): Promise<Writable> {
  if ('scratchBelow' in wish) {
    await mkdir(wish.scratchBelow, { recursive: true });
    const scratch = joinInside(await realpath(wish.scratchBelow), `mount-${id}`);
    await assertFit(path.dirname(scratch) as AbsPath);
    return { scratch, upper: joinInside(scratch, 'upper'), work: joinInside(scratch, 'work') };
  }
  await mkdir(wish.directory, { recursive: true });
  const upper = (await realpath(wish.directory)) as AbsPath;
  await assertFit(upper);
  // The work directory must lie on the upper's filesystem, outside of the upper itself.
  const parent = path.dirname(upper) as AbsPath;
  if ((await lstat(parent)).dev !== (await lstat(upper)).dev) {
    throw new StkError('conflict', `${upper} is a mount point: there is no room beside it for overlayfs to work in`, {
      hint: `name a directory in it: --upper ${upper}/upper`,
      facts: { path: upper },
    });
  }
  return { upper, work: joinInside(parent, `.stk-work-${id}`) };
}

/**
 * Makes the directories. An upper directory that was never mounted and holds nothing gets the image's own root attributes, and no ACL,
 * as far as the caller may set them: in the mount its own hide those of the image. An ordinary user can always write into it.
 */
export async function makeUpper(writable: Writable, imageRoot: AbsPath): Promise<void> {
  if (writable.scratch !== undefined) await mkdir(writable.scratch, { mode: 0o700 });
  await mkdir(writable.upper, { recursive: true });
  await mkdir(writable.work, { recursive: true });
  // overlayfs makes files here as well; whose directory it lies in must not show in them.
  dropInheritedAcls(writable.work);
  if (!(await isNew(writable))) return;
  dropOwnAcls(writable.upper);
  const stat = await lstat(imageRoot);
  await chown(writable.upper, stat.uid, stat.gid).catch(ignoreRefusal);
  // Without root's rights over it, an overlay in which the owner may not write could not hold a change anywhere.
  const least = process.getuid?.() === 0 ? 0 : 0o700;
  await chmod(writable.upper, (stat.mode & 0o7777) | least).catch(ignoreRefusal);
}

async function isNew({ upper, scratch }: Writable): Promise<boolean> {
  if (scratch !== undefined) return true;
  return (await readdir(upper)).length === 0 && readBase(upper) === undefined;
}

function dropOwnAcls(upper: AbsPath): void {
  try {
    dropInheritedAcls(upper);
  } catch (error) {
    // Of somebody else's directory they stay, like its owner.
    if (!failedWith(error, 'EPERM')) throw error;
  }
}

/** Whoever may not give files away, or own them under this id, has them as they are. */
function ignoreRefusal(error: unknown): void {
  if (errnoOf(error) !== 'EPERM' && errnoOf(error) !== 'EINVAL') throw error;
}

/** Removes what goes with the mount: all of a throw-away upper, of a user's own only the work directory. */
export async function removeUpper(writable: Writable): Promise<void> {
  await removeTree(writable.scratch ?? writable.work);
}

async function assertFit(directory: AbsPath): Promise<void> {
  const filesystem = await unfitForUpper(directory);
  if (filesystem === undefined) return;
  throw new StkError('missing-capability', `${directory} is on ${filesystem}, which cannot hold an upper directory`, {
    hint: 'give a directory on a local disk or a tmpfs with --upper, or move --stk-dir there',
    facts: { path: directory, filesystem },
  });
}
