import { createHash } from 'node:crypto';
import { chown, lstat, mkdir, open, readdir, rename, rm, rmdir } from '../host/files.ts';
import { isDigest, type Digest } from '../core/digest.ts';
import { errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { readSmallFile } from '../host/read-small-file.ts';
import { temporaryName } from '../host/atomic-write.ts';

/** Something outside of a layout that needs an image of it: a mount, a container, an upper directory. */
export interface GcRoot {
  /** Of the manifest. */
  readonly digest: Digest;
  /** What needs it: when nothing is there any more, nothing is needed. */
  readonly path: AbsPath;
}

const DIRECTORY = '.needed-by';
/** There while garbage is collected. */
const COLLECTING = '.stk-collecting';
const MAX_ROOT_BYTES = 64 * 1024;

/**
 * Says in a layout that something needs one of its images, which `collectGarbage` then leaves alone, whoever runs it and
 * whatever they see of the rest of the machine. A later root of the same path takes its place. Returns whether garbage may
 * be being collected by somebody who has not seen it: wait for the lock of the blobs then, and look whether they are there.
 * Where the layout cannot be written, nothing is said: whoever could collect there has to look elsewhere.
 */
export async function addGcRoot(layout: AbsPath, root: GcRoot): Promise<{ readonly collecting: boolean }> {
  const directory = joinInside(layout, DIRECTORY);
  const file = joinInside(directory, nameOf(root.path));
  try {
    await makeDirectory(layout, directory);
    const temporary = temporaryName(file);
    const handle = await open(temporary, 'wx', 0o644);
    try {
      await handle.writeFile(JSON.stringify(root));
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    if (!['EACCES', 'EPERM', 'EROFS', 'ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error;
    return { collecting: false };
  }
  // The collector leaves its mark before it reads the roots, so one of the two sees the other.
  return { collecting: await exists(joinInside(layout, COLLECTING)) };
}

/** Takes back what `addGcRoot` said of a path. */
export async function removeGcRoot(layout: AbsPath, path: AbsPath): Promise<void> {
  const directory = joinInside(layout, DIRECTORY);
  await rm(joinInside(directory, nameOf(path)), { force: true }).catch(() => {});
  await rmdir(directory).catch(() => {});
}

/**
 * Those roots whose path is still there, or cannot be looked at. Whoever collects garbage holds the blobs' lock, and the
 * result of `markCollecting`.
 */
export async function readGcRoots(layout: AbsPath): Promise<readonly GcRoot[]> {
  const directory = joinInside(layout, DIRECTORY);
  const roots: GcRoot[] = [];
  for (const name of await readdir(directory).catch(ignoreAbsence)) {
    const root = await readRoot(joinInside(directory, name));
    if (root && (await exists(root.path))) roots.push(root);
    else if (root) await removeGcRoot(layout, root.path);
  }
  return roots;
}

/** Has those who add roots know that garbage is being collected, until disposed. The blobs' lock is the caller's. */
export async function markCollecting(layout: AbsPath): Promise<AsyncDisposable> {
  const file = joinInside(layout, COLLECTING);
  await (await open(file, 'w', 0o644)).close();
  return { [Symbol.asyncDispose]: () => rm(file, { force: true }) };
}

function nameOf(path: AbsPath): string {
  return createHash('sha256').update(path).digest('hex').slice(0, 32);
}

/** It belongs to whom the layout belongs to, whoever makes it. */
async function makeDirectory(layout: AbsPath, directory: AbsPath): Promise<void> {
  const made = await mkdir(directory).then(
    () => true,
    (error: unknown) => {
      if (errnoOf(error) !== 'EEXIST') throw error;
      return false;
    },
  );
  if (!made) return;
  const { uid, gid } = await lstat(layout);
  await chown(directory, uid, gid).catch(() => {});
}

async function readRoot(file: AbsPath): Promise<GcRoot | undefined> {
  try {
    const value: unknown = JSON.parse((await readSmallFile(file, MAX_ROOT_BYTES)).toString('utf8'));
    if (typeof value !== 'object' || value === null) return undefined;
    const { digest, path } = value as Partial<GcRoot>;
    return isDigest(digest) && typeof path === 'string' && path.startsWith('/') ? { digest, path } : undefined;
  } catch {
    return undefined;
  }
}

async function exists(path: AbsPath): Promise<boolean> {
  return lstat(path).then(
    () => true,
    error => !['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? ''),
  );
}

function ignoreAbsence(error: unknown): [] {
  if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return [];
  throw error;
}
