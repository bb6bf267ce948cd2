import { AsyncScope } from '../core/async-scope.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { makeLockedDir, sweepUnlocked } from '../host/locked-dir.ts';
import { removeTree } from '../host/tools/copy.ts';

/** Where stk keeps what is its own: caches, staged imports, running work. Nothing in it is part of an image. */
export interface StateDirectories {
  readonly home: AbsPath;
  readonly records: AbsPath;
  readonly imports: AbsPath;
  readonly http: AbsPath;
  readonly cacheDirs: AbsPath;
  readonly work: AbsPath;
  /** An OCI layout of images that were converted on their way to a registry. */
  readonly converted: AbsPath;
  readonly fileDigests: AbsPath;
}

export function stateDirectories(home: AbsPath): StateDirectories {
  const below = (name: string) => joinInside(home, name);
  return {
    home,
    records: below('cache'),
    imports: below('imports'),
    http: below('http'),
    cacheDirs: below('cache-dirs'),
    work: below('work'),
    converted: below('converted'),
    fileDigests: below('file-digests.json'),
  };
}

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
