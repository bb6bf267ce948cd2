import path from 'node:path';
import { StkError, errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { lockFile, tryLockFile, type FileLock } from '../host/file-lock.ts';
import { lstat, mkdir, readFile, readdir, readlink, rm, rmdir, symlink } from '../host/files.ts';

/** In a state directory, a link that names the namespaces it was made in. */
const MADE_IN = 'made-in';
/** The first namespaces, by their numbers (Linux, include/linux/proc_ns.h: PROC_USER_INIT_INO, PROC_PID_INIT_INO). */
const FIRST_NAMESPACES: readonly string[] = ['user:[4026531837]', 'pid:[4026531836]'];

/**
 * Where lasting mounts are remembered, for one mount namespace: mounts made in another one are not seen here, so their
 * records must not be believed here either.
 */
export interface MountState {
  readonly directory: AbsPath;
  /** Records, one JSON file per image mount. */
  readonly records: AbsPath;
  /** Mount points of layers, each shared by the images that hold the layer. */
  readonly layers: AbsPath;
  /** A directory per image mount with short names for its overlay's parts. */
  readonly images: AbsPath;
  /** Mount points of files that are verified in user space. */
  readonly served: AbsPath;
  /** Logs and states of these mounts, and what their servers listen on. */
  readonly servers: AbsPath;
}

/**
 * The directory that is the parent of all mount state: `/run/stk` for real root, `$XDG_RUNTIME_DIR/stk` for others, and
 * a directory of the user's own in /tmp where there is no runtime directory.
 */
export async function stateHome(
  environment: Readonly<Record<string, string | undefined>>,
  user: { readonly uid: number; readonly initialUserNamespace: boolean },
): Promise<AbsPath> {
  if (user.uid === 0 && user.initialUserNamespace) return '/run/stk' as AbsPath;
  const outerUid = await uidOutside(user.uid);
  const candidates = [environment['XDG_RUNTIME_DIR'], `/run/user/${outerUid}`];
  for (const candidate of candidates) {
    if (candidate === undefined || !path.isAbsolute(candidate)) continue;
    const stat = await lstat(candidate).catch(() => undefined);
    if (stat?.isDirectory() && stat.uid === user.uid) return path.join(path.normalize(candidate), 'stk') as AbsPath;
  }
  return `/tmp/stk-${outerUid}` as AbsPath;
}

/**
 * Parents of mount state that a caller may look at: the own one, and for real root those of everybody.
 * @param home see `stateHome`
 */
export async function mountHomes(home: AbsPath): Promise<readonly AbsPath[]> {
  if (process.getuid?.() !== 0) return [home];
  const names = async (directory: string) => readdir(directory).catch(() => []);
  const users = (await names('/run/user')).map(user => `/run/user/${user}/stk`);
  const others = (await names('/tmp')).filter(name => /^stk-\d+$/.test(name)).map(name => `/tmp/${name}`);
  return [...new Set([home, '/run/stk', ...users, ...others])] as AbsPath[];
}

/** The uid that the first user namespace knows this user by, so that two users never share a name. */
async function uidOutside(uid: number): Promise<number> {
  for (const line of (await readFile('/proc/self/uid_map', 'utf8')).split('\n')) {
    const [inside, outside, count] = line.trim().split(/\s+/).map(Number);
    if (inside === undefined || outside === undefined || count === undefined) continue;
    if (uid >= inside && uid < inside + count) return outside + uid - inside;
  }
  return uid;
}

/** Opens the state of this mount namespace, making it where it is missing. Throws `conflict` if it is not ours alone. */
export async function openMountState(home: AbsPath): Promise<MountState> {
  await makePrivate(home);
  const directory = joinInside(home, await mountNamespace('self'));
  await makePrivate(directory);
  const below = (name: string) => joinInside(directory, name);
  const state: MountState = {
    directory,
    records: below('records'),
    layers: below('layers'),
    images: below('images'),
    served: below('served'),
    servers: below('servers'),
  };
  for (const child of [state.records, state.layers, state.images, state.served, state.servers]) {
    await mkdir(child, { recursive: true, mode: 0o700 });
  }
  await symlink((await ownNamespaces()).join(' '), below(MADE_IN)).catch((error: unknown) => {
    if (errnoOf(error) !== 'EEXIST') throw error;
  });
  return state;
}

/** Held by whoever mounts, unmounts or looks: one at a time, so that state and mounts are never seen half changed. */
export function lockState(
  state: MountState,
  options: { readonly signal?: AbortSignal | undefined; readonly onWait?: () => void } = {},
): Promise<FileLock> {
  return lockFile(state.directory, 'exclusive', options);
}

/** Makes a directory that only this user can write. Throws `conflict` where another one could. */
export async function makePrivate(directory: AbsPath): Promise<void> {
  await mkdir(directory, { mode: 0o700 }).catch((error: unknown) => {
    if (errnoOf(error) !== 'EEXIST') throw cannotUse(directory, error);
  });
  const stat = await lstat(directory);
  // In /tmp anybody could have made it first, to see or to steer what is mounted.
  if (!stat.isDirectory() || stat.uid !== process.getuid?.() || (stat.mode & 0o022) !== 0) {
    throw new StkError('conflict', `${directory} is not a directory that only this user can write`, {
      hint: `remove it, or set XDG_RUNTIME_DIR to a directory of your own`,
      facts: { path: directory },
    });
  }
}

function cannotUse(directory: AbsPath, cause: unknown): StkError {
  return new StkError('storage', `cannot keep the state of mounts in ${directory}: ${errnoOf(cause)}`, {
    cause,
    hint: 'set XDG_RUNTIME_DIR to a directory of your own that exists',
    facts: { path: directory },
  });
}

async function mountNamespace(process: string): Promise<string> {
  const link = await readlink(`/proc/${process}/ns/mnt`);
  return `mnt-${/\d+/.exec(link)?.[0] ?? 'unknown'}`;
}

/** The user and the PID namespace, which decide of which processes it can be seen where they are. */
async function ownNamespaces(): Promise<readonly string[]> {
  return [await readlink('/proc/self/ns/user'), await readlink('/proc/self/ns/pid')];
}

/** Names of the state directories of mount namespaces that processes are seen in. */
export async function seenNamespaces(): Promise<ReadonlySet<string>> {
  const seen = new Set<string>();
  for (const name of await readdir('/proc')) {
    if (/^\d+$/.test(name)) seen.add(await mountNamespace(name).catch(() => ''));
  }
  return seen;
}

/**
 * Removes the state of mount namespaces that are gone: with the namespace its mounts went, and the FUSE processes with
 * these, so that only empty directories and records are left. What was made in another user or PID namespace is left
 * alone, because the processes that use it may be out of sight; in the first ones none of this user's is. Returns how many
 * were removed.
 *
 * @param seen see `seenNamespaces`
 */
export async function removeDeadNamespaces(home: AbsPath, seen: ReadonlySet<string>): Promise<number> {
  const own = await ownNamespaces();
  let removed = 0;
  for (const name of await readdir(home)) {
    if (!/^mnt-\d+$/.test(name) || seen.has(name)) continue;
    const directory = joinInside(home, name);
    const madeIn = (await readlink(joinInside(directory, MADE_IN)).catch(() => '')).split(' ');
    if (own.some((namespace, index) => namespace !== FIRST_NAMESPACES[index] && namespace !== madeIn[index])) continue;
    await using lock = await tryLockFile(directory, 'exclusive').catch(() => undefined);
    if (!lock) continue;
    await removeEmptyTree(directory, (await lstat(directory)).dev);
    removed++;
  }
  return removed;
}

/** Removes records, logs, sockets, links and directories, but nothing on another filesystem: should a mount be there, it stays whole. */
async function removeEmptyTree(directory: AbsPath, device: number): Promise<void> {
  if ((await lstat(directory)).dev !== device) return;
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const child = joinInside(directory, entry.name);
    if (entry.isDirectory()) await removeEmptyTree(child, device);
    else if (entry.isSymbolicLink() || /\.(json|log|sock)$/.test(entry.name)) await rm(child);
  }
  await rmdir(directory).catch(() => {});
}
