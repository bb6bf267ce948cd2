import path from 'node:path';
import { StkError, errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { chmod, chown, lstat, mkdir, utimes, writeFile } from '../host/files.ts';
import type { LowerView } from './lower-view.ts';

/** A place in the image that something is mounted on while a step runs. */
export interface MountPoint {
  /** Absolute path in the image as wanted. */
  readonly path: string;
  readonly type: 'directory' | 'file';
}

/**
 * Makes a directory tree that holds every mount point which the image lacks. As the uppermost lower layer of a step's
 * overlay it gives the sandbox something to mount on, and nothing of it is ever copied into the step's own layer.
 * Directories that the image has are given their own attributes again, because the uppermost layer's are what counts.
 *
 * @returns for each mount point the path in the image, symlinks of the image resolved, that is to be mounted on
 */
export async function makeSkeleton(
  directory: AbsPath,
  view: LowerView,
  points: readonly MountPoint[],
): Promise<ReadonlyMap<string, string>> {
  await mkdir(directory, { recursive: true });
  await copyAttributes(view.root, directory);
  const resolved = new Map<string, string>();
  for (const point of points) {
    const parent = await view.resolve(path.posix.dirname(point.path));
    if (parent.type === 'other') throw notADirectory(parent.path, point.path);
    const target = path.posix.join(parent.path, path.posix.basename(point.path));
    resolved.set(point.path, `/${target}`);
    const there = parent.type === undefined ? undefined : await typeOf(joinInside(view.root, target));
    if (there === point.type) continue;
    await makeParents(directory, view, parent.path);
    const placeholder = joinInside(directory, target);
    if (point.type === 'directory') await mkdir(placeholder, { recursive: true });
    else await writeFile(placeholder, '', { flag: 'a' });
  }
  return resolved;
}

/** A symlink counts as neither: the placeholder hides it, so that nothing is ever mounted through a link. */
async function typeOf(file: string): Promise<'directory' | 'file' | undefined> {
  const stat = await lstat(file).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  return stat?.isDirectory() ? 'directory' : stat?.isFile() ? 'file' : undefined;
}

async function makeParents(directory: AbsPath, view: LowerView, target: string): Promise<void> {
  let done = '';
  for (const part of target.split('/')) {
    if (part === '') continue;
    done = path.posix.join(done, part);
    const made = await mkdir(joinInside(directory, done)).then(
      () => true,
      (error: unknown) => {
        if (errnoOf(error) === 'EEXIST') return false;
        throw error;
      },
    );
    if (made && (await view.isDirectory(done))) {
      await copyAttributes(joinInside(view.root, done), joinInside(directory, done));
    }
  }
}

async function copyAttributes(from: string, to: string): Promise<void> {
  const stat = await lstat(from);
  await chown(to, stat.uid, stat.gid);
  await chmod(to, stat.mode & 0o7777);
  await utimes(to, stat.atime, stat.mtime);
}

function notADirectory(parent: string, wanted: string): StkError {
  return new StkError('invalid-input', `cannot mount on ${wanted}: /${parent} of the image is not a directory`, {
    hint: 'choose another place in the image, or mend the base',
  });
}
