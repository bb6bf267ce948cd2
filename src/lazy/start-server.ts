import path from 'node:path';
import { StkError, isStkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { mkdir, rm } from '../host/files.ts';
import { isDisconnected } from '../host/filesystem-answers.ts';
import { keepingCommand } from '../host/fuse/keep-server.ts';
import { mountDevice, type FuseMountOptions } from '../host/fuse/mount-device.ts';
import { detachFuse } from '../host/fuse/mount-point.ts';
import { findMount } from '../host/mount-table.ts';
import { DEVICE_DESCRIPTOR, READY_DESCRIPTOR, spawnServer } from '../host/fuse/spawn-server.ts';
import { readPrivileges } from '../host/privileges.ts';
import { DEVICE_READERS } from './file-server.ts';
import type { FirstWord } from './run-server.ts';
import { FUSE_SUBTYPE } from './serve.ts';
import type { ServeSpec } from './serve-spec.ts';

/** Threads beside those that wait for requests: they read the blobs. */
const FILE_THREADS = 6;
/** A server that is too busy to answer within this lives. */
const ANSWER_TIMEOUT_MS = 2000;

export interface StartServerOptions {
  /** Program and arguments (absolute) that run `serve` on the specification from their standard input: see `runServer`. */
  readonly command: readonly string[];
  /** Opening a blob without a verity tree reads all of it, so this may take long. */
  readonly readyTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What is to be served; the mount is made for it. */
export interface FilesToMount extends Omit<ServeSpec, 'device' | 'ready' | 'unmountWith'> {
  /** Whether users other than the server's may read. */
  readonly allowOther: boolean;
}

export interface RunningServer {
  readonly pid: number;
  /** The process that starts the server again where it is killed and the kernel lets another one take over. */
  readonly keeper: number;
}

/**
 * Starts a detached server and returns when its files can be read; it outlives this process. The target is made if it is
 * missing, and a dead mount of a server that was killed is taken away from it first. Throws `conflict` where something
 * else is mounted there, and whatever the server met before it was ready.
 */
export async function startServer(files: FilesToMount, options: StartServerOptions): Promise<RunningServer> {
  const { allowOther, ...spec } = files;
  const { canMount } = await readPrivileges();
  const unmountWith = canMount ? 'umount' : 'fusermount3';
  await clearTarget(spec.target, unmountWith, options.signal);
  for (const file of [spec.logFile, spec.stateFile]) await mkdir(path.dirname(file), { recursive: true });
  // A session that another server left behind belongs to another mount.
  await rm(spec.stateFile, { force: true });
  const settings: ServeSpec = { ...spec, ready: READY_DESCRIPTOR, device: DEVICE_DESCRIPTOR, unmountWith };
  try {
    return await spawnOn(settings, { allowOther, subtype: FUSE_SUBTYPE }, options);
  } catch (error) {
    if (!isStkError(error, 'conflict')) await detachFuse(spec.target, unmountWith).catch(() => {});
    throw error;
  }
}

async function spawnOn(
  settings: ServeSpec,
  mount: FuseMountOptions,
  { command, readyTimeoutMs = 60_000, signal }: StartServerOptions,
): Promise<RunningServer> {
  const { target, logFile, stateFile } = settings;
  const mounter = settings.unmountWith === 'umount' ? 'mount' : 'fusermount3';
  await using device = await mountDevice(target, mount, mounter, signal);
  const { pid, firstLine } = await spawnServer({
    command: keepingCommand(stateFile, command),
    device: device.fd,
    input: JSON.stringify(settings),
    logFile,
    threads: DEVICE_READERS + FILE_THREADS,
    readyTimeoutMs,
    signal,
  });
  return { pid: pidOf(firstLine), keeper: pid };
}

/** The server's own; throws what it said instead. */
function pidOf(line: string): number {
  const word = JSON.parse(line) as FirstWord;
  if (word.ready) return word.pid;
  const { code, message, hint, facts } = word;
  throw new StkError(code, message, { ...(hint === undefined ? {} : { hint }), ...(facts ? { facts } : {}) });
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
