import path from 'node:path';
import { isDigest, type Digest } from '../core/digest.ts';
import { StkError, errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { storageError, writeFileAtomic } from '../host/atomic-write.ts';
import { tryLockFile, type FileLock, type LockMode } from '../host/file-lock.ts';
import { lstat, mkdir, readFile, readdir, rename } from '../host/files.ts';
import { makeLockedDir, sweepUnlocked } from '../host/locked-dir.ts';
import { removeTree } from '../host/tools/copy.ts';
import { addGcRoot, removeGcRoot } from '../oci/gc-roots.ts';

/** What is known of a kept container. It never changes once written. */
export interface ContainerRecord {
  readonly version: 1;
  readonly name: string;
  /** Directory of the layout that holds the image. */
  readonly layout: AbsPath;
  /** The tag by which the image was found; it may have moved since. */
  readonly tag: string;
  /** Of the image's manifest: the layers below `upper` are this one's, whatever the tag says now. */
  readonly digest: Digest;
  /** Made in a user namespace: owners in `upper` are ids of that namespace's range. */
  readonly rootless: boolean;
  /** What the first run started, entry point included. */
  readonly command: readonly string[];
  /** RFC 3339. */
  readonly createdAt: string;
}

/** A kept container that this process holds the lock of. Disposing it releases the lock and nothing else. */
export interface Container extends AsyncDisposable {
  readonly record: ContainerRecord;
  readonly directory: AbsPath;
  /** The overlay's upper directory, in overlayfs's own form (`userxattr`). */
  readonly upper: AbsPath;
  /** The overlay's work directory. */
  readonly work: AbsPath;
}

export interface ListedContainer {
  readonly name: string;
  /** `undefined` where it cannot be read: such a container can only be removed. */
  readonly record: ContainerRecord | undefined;
  /** It runs, or is being removed. One that is only read, as for a commit, is not in use. */
  readonly inUse: boolean;
}

export interface OpenOptions {
  /** `exclusive` to write into `upper`, `shared` to read it. */
  readonly mode: LockMode;
  /** Whether this process is root of a user namespace. */
  readonly rootless: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** A listing holds a container's lock for a moment, to see whether it is in use. */
const PATIENCE_MS = 500;
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
const RECORD = 'container.json';
const UNFINISHED = '.new';
const REMOVED = '.old';

/** Where kept containers live below the state directory, one directory each. */
export function containersHome(stkDir: AbsPath): AbsPath {
  return joinInside(stkDir, 'containers');
}

/** Checks the name of a container. Throws `usage`. */
function assertContainerName(name: string): void {
  if (NAME.test(name)) return;
  throw new StkError('usage', `a container cannot be named ${JSON.stringify(name.slice(0, 100))}`, {
    hint: 'a name is up to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit',
  });
}

/**
 * Makes a container with an empty upper directory, locked `exclusive`. It appears under its name complete, record
 * included, or not at all. Throws `conflict` where the name is taken.
 */
export async function createContainer(home: AbsPath, record: Omit<ContainerRecord, 'version'>): Promise<Container> {
  assertContainerName(record.name);
  // What creations and removals left that were killed.
  await sweepUnlocked(home, [UNFINISHED, REMOVED], left => removeTree(left));
  const lock = await makeLockedDir(home, UNFINISHED);
  const unfinished = lock.path;
  try {
    for (const name of ['upper', 'work']) await mkdir(joinInside(unfinished, name));
    const value: ContainerRecord = { version: 1, ...record };
    await writeFileAtomic(joinInside(unfinished, RECORD), `${JSON.stringify(value)}\n`, { mode: 0o600 });
    const directory = joinInside(home, record.name);
    await rename(unfinished, directory);
    await addGcRoot(record.layout, { digest: record.digest, path: directory });
    return held(value, directory, lock);
  } catch (error) {
    await removeTree(unfinished);
    await lock[Symbol.asyncDispose]();
    if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST') throw storageError(error, home);
    throw new StkError('conflict', `there is a container named ${record.name} already`, { cause: error });
  }
}

/**
 * Opens a kept container and holds its lock. Throws `not-found`, `conflict` where it is in use or belongs to the other
 * kind of namespace, `invalid-input` where its record cannot be read.
 */
export async function openContainer(home: AbsPath, name: string, options: OpenOptions): Promise<Container> {
  assertContainerName(name);
  const directory = joinInside(home, name);
  const lock = await lockContainer(directory, name, options.mode, options.signal);
  try {
    const record = await readContainerRecord(directory);
    if (!record) throw damaged(directory);
    if (record.rootless !== options.rootless) {
      const who = record.rootless ? 'an ordinary user' : 'root';
      throw new StkError('conflict', `container ${name} was made by ${who}, whose file owners mean something else`, {
        hint: record.rootless ? 'run the command as that user, without sudo' : 'run the command as root',
      });
    }
    return held(record, directory, lock);
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw error;
  }
}

/** Whether a container has this name. */
export async function hasContainer(home: AbsPath, name: string): Promise<boolean> {
  assertContainerName(name);
  return (await lstat(joinInside(home, name)).catch(ignoreAbsence)) !== undefined;
}

/** All containers, names ascending. It needs no namespace. */
export async function listContainers(home: AbsPath): Promise<readonly ListedContainer[]> {
  const listed: ListedContainer[] = [];
  const entries = (await readdir(home, { withFileTypes: true }).catch(ignoreAbsence)) ?? [];
  const names = entries.filter(entry => entry.isDirectory() && NAME.test(entry.name)).map(entry => entry.name);
  for (const name of names.sort()) {
    const directory = joinInside(home, name);
    // Shared, so that listings do not see each other.
    const lock = await tryLockFile(directory, 'shared').catch(() => undefined);
    await lock?.[Symbol.asyncDispose]();
    listed.push({ name, record: await readContainerRecord(directory), inUse: lock === undefined });
  }
  return listed;
}

/**
 * Removes a container with what it wrote, a damaged one as well. Must run as root of the namespaces, because files in
 * `upper` have many owners. Throws `not-found`, `conflict` where it is in use.
 */
export async function removeContainer(home: AbsPath, name: string, signal?: AbortSignal): Promise<void> {
  assertContainerName(name);
  const directory = joinInside(home, name);
  await using _lock = await lockContainer(directory, name, 'exclusive', signal);
  // Gone at once for everybody else; what a kill leaves of it, the next one removes.
  await using removed = await makeLockedDir(home, REMOVED, signal);
  const record = await readContainerRecord(directory);
  await rename(directory, joinInside(removed.path, name));
  if (record) await removeGcRoot(record.layout, directory);
  await removeTree(removed.path, signal);
}

/** The record of a container's directory; `undefined` where there is none that this stk can read. */
async function readContainerRecord(directory: AbsPath): Promise<ContainerRecord | undefined> {
  const text = await readFile(joinInside(directory, RECORD), 'utf8').catch(() => '');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isRecord(value) && value.name === path.basename(directory) ? value : undefined;
}

function isRecord(value: unknown): value is ContainerRecord {
  if (typeof value !== 'object' || value === null) return false;
  const record = value as Partial<ContainerRecord>;
  return (
    record.version === 1 &&
    typeof record.name === 'string' &&
    typeof record.layout === 'string' &&
    path.isAbsolute(record.layout) &&
    typeof record.tag === 'string' &&
    isDigest(record.digest) &&
    typeof record.rootless === 'boolean' &&
    Array.isArray(record.command) &&
    record.command.every(word => typeof word === 'string') &&
    typeof record.createdAt === 'string'
  );
}

async function lockContainer(
  directory: AbsPath,
  name: string,
  mode: LockMode,
  signal: AbortSignal | undefined,
): Promise<FileLock> {
  const absent = () =>
    new StkError('not-found', `there is no container named ${name}`, { hint: 'see `stk containers`' });
  const before = await lstat(directory).catch(ignoreAbsence);
  if (!before?.isDirectory()) throw absent();
  const lock = await tryLockFile(directory, mode, { patienceMs: PATIENCE_MS, signal }).catch((error: unknown) => {
    throw errnoOf(error) === 'ENOENT' ? absent() : error;
  });
  if (!lock) throw inUse(name);
  // Between looking and locking it may have been removed, and another made.
  const after = await lstat(directory).catch(ignoreAbsence);
  if (after?.ino === before.ino) return lock;
  await lock[Symbol.asyncDispose]();
  throw absent();
}

function held(record: ContainerRecord, directory: AbsPath, lock: FileLock): Container {
  return {
    record,
    directory,
    upper: joinInside(directory, 'upper'),
    work: joinInside(directory, 'work'),
    [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose](),
  };
}

function inUse(name: string): StkError {
  return new StkError('conflict', `container ${name} is in use`, {
    hint: 'wait until what runs in it has ended, or what commits it',
  });
}

function damaged(directory: AbsPath): StkError {
  return new StkError('invalid-input', `${directory} holds no record of a container that this stk can read`, {
    hint: `its files are in ${joinInside(directory, 'upper')}; stk rm removes it`,
    facts: { path: directory },
  });
}

function ignoreAbsence(error: unknown): undefined {
  if (errnoOf(error) === 'ENOENT') return undefined;
  throw error;
}
