import { AsyncScope } from '../core/async-scope.ts';
import { digestHex, digestOf } from '../core/digest.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { lockFile, tryLockFile, type FileLock } from '../host/file-lock.ts';
import { chmod, mkdir, stat } from '../host/files.ts';
import { noteUse } from '../host/note-use.ts';
import { disinherit } from '../host/usual-settings.ts';
import type { CacheDir } from '../recipe/model.ts';

export interface MountedCacheDir {
  readonly source: AbsPath;
  readonly target: string;
}

/** The cache directories of one step; disposing lets others use them. */
export interface MountedCacheDirs extends AsyncDisposable {
  readonly directories: readonly MountedCacheDir[];
}

/**
 * Takes the cache directories that a step wants. `shared` ones are used at once by everybody, `locked` ones by one step
 * after the other, of all builds; of a `private` one each concurrent step gets its own.
 */
export async function openCacheDirs(
  wanted: readonly CacheDir[],
  home: AbsPath,
  signal: AbortSignal | undefined,
): Promise<MountedCacheDirs> {
  const scope = new AsyncScope();
  const directories: MountedCacheDir[] = [];
  try {
    if (wanted.length > 0) await closeToOthers(home);
    // In one order for all, so that two steps that want the same two cannot wait for each other.
    for (const entry of wanted.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
      const name = digestHex(digestOf(entry.id)).slice(0, 32);
      const source = await take(joinInside(home, name), entry.sharing, scope, signal);
      directories.push({ source, target: entry.path });
    }
    return { directories, [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() };
  } catch (error) {
    await scope[Symbol.asyncDispose]();
    throw error;
  }
}

/** Steps of root may leave device nodes and set-user-ID programs there, which are none of other users' business. */
async function closeToOthers(home: AbsPath): Promise<void> {
  await mkdir(home, { recursive: true, mode: 0o700 });
  const { uid, mode } = await stat(home);
  if (uid === process.getuid?.() && (mode & 0o077) !== 0) await chmod(home, 0o700);
}

async function take(
  directory: AbsPath,
  sharing: CacheDir['sharing'],
  scope: AsyncScope,
  signal: AbortSignal | undefined,
): Promise<AbsPath> {
  await make(directory);
  if (sharing === 'locked') scope.use(await lockFile(directory, 'exclusive', { signal }));
  if (sharing !== 'private') return directory;
  for (let instance = 0; ; instance++) {
    const own = (instance === 0 ? directory : `${directory}-${instance}`) as AbsPath;
    await make(own);
    const lock: FileLock | undefined = await tryLockFile(own, 'exclusive');
    if (!lock) continue;
    scope.use(lock);
    return own;
  }
}

/** Steps see it as a directory of the image. */
async function make(directory: AbsPath): Promise<void> {
  if ((await mkdir(directory, { recursive: true })) !== undefined) await disinherit(directory, 0o755);
  else await noteUse(directory);
}
