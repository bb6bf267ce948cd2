import { AsyncScope } from '../core/async-scope.ts';
import type { AbsPath } from '../core/paths.ts';
import { makeLockedDir, sweepUnlocked } from '../host/locked-dir.ts';
import { removeTree } from '../host/tools/copy.ts';

/** The directory of one running build: locked while the build lives, removed at its end. */
export interface Workspace extends AsyncDisposable {
  readonly path: AbsPath;
}

const PREFIX = 'build';

/**
 * Makes the directory of this build, and removes those of builds that were killed: nobody holds their lock any more.
 * Must run as root of the namespaces, since steps leave files of many owners.
 */
export async function openWorkspace(work: AbsPath): Promise<Workspace> {
  await removeAbandoned(work);
  const scope = new AsyncScope();
  const { path } = scope.use(await makeLockedDir(work, PREFIX));
  scope.defer(() => removeTree(path));
  return { path, [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() };
}

/** Removes work directories that no living build holds. */
export async function removeAbandoned(work: AbsPath): Promise<void> {
  await sweepUnlocked(work, [PREFIX], directory => removeTree(directory));
}
