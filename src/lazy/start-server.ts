import path from 'node:path';
import { StkError, isStkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { closeSync, mkdir, rm, stat } from '../host/files.ts';
import { isDisconnected } from '../host/filesystem-answers.ts';
import { mountDevice } from '../host/fuse/mount-device.ts';
import { detachFuse } from '../host/fuse/mount-point.ts';
import { spawnServer } from '../host/fuse/spawn-server.ts';
import { findMount } from '../host/mount-table.ts';
import { readPrivileges } from '../host/privileges.ts';
import { connectTo, listenAt } from '../host/syscalls/unix-socket.ts';
import { askServer } from './ask-server.ts';
import { FUSE_SUBTYPE } from './serve.ts';
import type { ServeSpec } from './serve-spec.ts';
import { IDLE_MS, serverEnvironment, serverPlaces, type ServerProgram } from './server-settings.ts';

/** A server that is too busy to answer within this lives. */
const ANSWER_TIMEOUT_MS = 2000;
/** A running server answers at once; one that is stopped, or waits for a disk that is gone, does not. */
const SILENCE_MS = 10_000;
/** A server may end of itself at the moment when it is asked. */
const ATTEMPTS = 3;

export interface StartServerOptions extends ServerProgram {
  /** How long the server stays without a mount. */
  readonly idleMs?: number;
  /** After so long a running server that does not answer is left to its mounts, and another one is started. */
  readonly silenceMs?: number;
  /** Opening a blob without a verity tree reads all of it, so this may take long. */
  readonly readyTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What is to be served; the mount is made for it. */
export interface FilesToMount extends Omit<ServeSpec, 'unmountWith'> {
  /** Whether users other than the server's may read. */
  readonly allowOther: boolean;
}

export interface RunningServer {
  readonly pid: number;
  /** The process that becomes the next server where it is killed and the kernel lets another one take over. */
  readonly keeper?: number;
}

/**
 * Mounts files and has the server of this user serve them, the one that keeps its states beside this mount's; it is started
 * where it does not run, and outlives this process. Returns when the files can be read. The target is made if it is missing,
 * and a dead mount of a server that was killed is taken away from it first. Of those who share the directory of the state
 * file only one may call it at a time. Throws `conflict` where something else is mounted there, and whatever the server met
 * before it was ready.
 */
export async function startServer(files: FilesToMount, options: StartServerOptions): Promise<RunningServer> {
  const { allowOther, ...spec } = files;
  const { canMount } = await readPrivileges();
  const unmountWith = canMount ? 'umount' : 'fusermount3';
  const { signal } = options;
  await clearTarget(spec.target, unmountWith, signal);
  for (const file of [spec.logFile, spec.stateFile]) await mkdir(path.dirname(file), { recursive: true });
  const settings: ServeSpec = { ...spec, unmountWith };
  // It starts while the mount is made.
  let reached: ReachedServer | undefined = await reachServer(settings, options);
  try {
    const mount = { allowOther, subtype: FUSE_SUBTYPE };
    await using device = await mountDevice(spec.target, mount, canMount ? 'mount' : 'fusermount3', signal);
    for (let attempt = 1; ; attempt++) {
      const { connection, isNew, socket } = reached ?? (await reachServer(settings, options));
      reached = undefined;
      const silenceMs = isNew ? undefined : (options.silenceMs ?? SILENCE_MS);
      const files = { spec: settings, device: device.fd };
      const answer = await askServer(connection, files, { ...options, silenceMs });
      if (typeof answer === 'object') return answer;
      // The name is for the next one.
      if (answer === 'silent') await rm(socket, { force: true });
      if (attempt === ATTEMPTS) throw notStarted(settings, options);
    }
  } catch (error) {
    if (reached !== undefined) closeSync(reached.connection);
    if (!isStkError(error, 'conflict')) await detachFuse(spec.target, unmountWith).catch(() => {});
    throw error;
  }
}

interface ReachedServer {
  readonly connection: number;
  readonly socket: AbsPath;
  /** Just started. */
  readonly isNew: boolean;
}

/** A connection to the server, which may be about to start. */
async function reachServer({ stateFile }: ServeSpec, options: StartServerOptions): Promise<ReachedServer> {
  const { socket, log } = serverPlaces(path.dirname(stateFile) as AbsPath, options);
  const found = connectTo(socket);
  if (found !== undefined) return { connection: found, socket, isNew: false };
  // What a killed one left.
  await rm(socket, { force: true });
  const listening = listenAt(socket);
  try {
    const { ino: inode } = await stat(socket);
    await spawnServer({
      command: options.command,
      env: serverEnvironment({ socket, inode, log, idleMs: options.idleMs ?? IDLE_MS }),
      listening,
      logFile: log,
      signal: options.signal,
    });
    const connection = connectTo(socket);
    if (connection === undefined) throw notStarted({ stateFile }, options);
    return { connection, socket, isNew: true };
  } finally {
    closeSync(listening);
  }
}

function notStarted({ stateFile }: Pick<ServeSpec, 'stateFile'>, options: StartServerOptions): StkError {
  const { log } = serverPlaces(path.dirname(stateFile) as AbsPath, options);
  return new StkError('tool-failed', 'the server of files ended before it was ready', {
    hint: `its log is ${log}`,
    facts: { path: log },
  });
}

/** A mount whose server lives is left alone: asking for one of its names would go through the server. */
async function clearTarget(target: AbsPath, how: 'umount' | 'fusermount3', signal?: AbortSignal): Promise<void> {
  const mount = await findMount(target);
  if (mount === undefined) {
    await mkdir(target, { recursive: true });
    return;
  }
  if (mount.type !== `fuse.${FUSE_SUBTYPE}` || !(await isDisconnected(target, ANSWER_TIMEOUT_MS))) {
    throw new StkError('conflict', `something is mounted on ${target} already (${mount.type})`, {
      hint: 'unmount it first, or choose another directory',
      facts: { path: target, fsType: mount.type },
    });
  }
  await detachFuse(target, how, signal);
}
