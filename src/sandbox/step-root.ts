import { AsyncScope } from '../core/async-scope.ts';
import { StkError } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { chmod, chown, lstat, mkdir } from '../host/files.ts';
import { unfitForUpper } from '../host/privileges.ts';
import { mountOverlay, unmount } from '../host/tools/mount.ts';
import { LowerView, linkLowers } from './lower-view.ts';
import { makeSkeleton, type MountPoint } from './skeleton.ts';

/** A writable root for one step: the image's layers below, an empty upper directory that will be the step's layer. */
export interface StepRoot extends AsyncDisposable {
  /** The merged tree. */
  readonly root: AbsPath;
  /** What the step wrote, whiteouts included, in overlayfs's own form. */
  readonly upper: AbsPath;
  /** The stack below, without the step's own writes. */
  readonly lower: LowerView;
  /** Where each wanted mount point lies in the image once its symlinks are resolved. */
  readonly mountPoints: ReadonlyMap<string, string>;
}

export interface StepRootOptions {
  /** Mounted layers, uppermost first. */
  readonly layers: readonly AbsPath[];
  /** An empty directory of the step's own, on a filesystem that can hold an upper directory. */
  readonly directory: AbsPath;
  readonly mountPoints: readonly MountPoint[];
  readonly signal?: AbortSignal | undefined;
}

/** Assembles the root; disposing it unmounts everything but leaves the directory to its owner. */
export async function openStepRoot(options: StepRootOptions): Promise<StepRoot> {
  const { directory, signal } = options;
  await assertFit(directory);
  const scope = new AsyncScope();
  try {
    const lower = scope.use(await LowerView.open(options.layers, joinInside(directory, 'lower'), signal));
    const skeleton = joinInside(directory, 'skeleton');
    const mountPoints = await makeSkeleton(skeleton, lower, options.mountPoints);
    const [upper, root] = ['upper', 'merged'].map(name => joinInside(directory, name)) as [AbsPath, AbsPath];
    for (const name of ['upper', 'work', 'merged']) await mkdir(joinInside(directory, name));
    await inheritRoot(lower.root, upper);
    const lowers = await linkLowers([skeleton, ...options.layers], directory);
    await mountOverlay({ cwd: directory, lowers, upper: 'upper', work: 'work', target: 'merged' }, signal);
    scope.defer(() => unmount(root, { lazy: true }));
    return { root, upper, lower, mountPoints, [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() };
  } catch (error) {
    await scope[Symbol.asyncDispose]();
    throw error;
  }
}

/** The upper's root directory is the merged root: it must start with the image's own mode and owner. */
async function inheritRoot(from: AbsPath, upper: AbsPath): Promise<void> {
  const stat = await lstat(from);
  await chown(upper, stat.uid, stat.gid);
  await chmod(upper, stat.mode & 0o7777);
}

async function assertFit(directory: AbsPath): Promise<void> {
  const filesystem = await unfitForUpper(directory);
  if (filesystem === undefined) return;
  throw new StkError('missing-capability', `steps cannot run on ${filesystem}: ${directory}`, {
    hint: 'put the work directory on a local disk or a tmpfs: --stk-dir /path/on/disk',
    facts: { path: directory, filesystem },
  });
}
