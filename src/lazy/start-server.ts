import { mkdir, statfs } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { StkError, errnoOf } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { detachFuse, findMountPoint } from '../host/fuse/mount-point.ts';
import { receivingCommand } from '../host/fuse/receive-device.ts';
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

export interface RunningServer {
  readonly pid: number;
}

/**
 * Starts a detached server and returns when its files can be read; it outlives this process. The target is made if it is
 * missing, and a dead mount of a server that was killed is taken away from it first. Throws `conflict` where something
 * else is mounted there, and whatever the server met before it was ready.
 */
export async function startServer(
  spec: Omit<ServeSpec, 'device' | 'ready'>,
  options: StartServerOptions,
): Promise<RunningServer> {
  const { canMount } = await readPrivileges();
  await clearTarget(spec.target, canMount ? 'umount' : 'fusermount3', options.signal);
  for (const file of [spec.logFile, spec.stateFile]) await mkdir(path.dirname(file), { recursive: true });
  const mount = { allowOther: spec.allowOther, subtype: FUSE_SUBTYPE };
  const received = { target: spec.target, slot: DEVICE_DESCRIPTOR, command: options.command, mount };
  const settings: ServeSpec = {
    ...spec,
    ready: READY_DESCRIPTOR,
    ...(canMount ? {} : { device: DEVICE_DESCRIPTOR }),
  };
  const { pid, firstLine } = await spawnServer({
    command: canMount ? options.command : await receivingCommand(received),
    input: JSON.stringify(settings),
    logFile: spec.logFile,
    threads: DEVICE_READERS + FILE_THREADS,
    readyTimeoutMs: options.readyTimeoutMs ?? 60_000,
    signal: options.signal,
  });
  assertReady(firstLine);
  return { pid };
}

function assertReady(line: string): void {
  const word = JSON.parse(line) as FirstWord;
  if (word.ready) return;
  const { code, message, hint, facts } = word;
  throw new StkError(code, message, { ...(hint === undefined ? {} : { hint }), ...(facts ? { facts } : {}) });
}

/** A mount whose server lives is left alone: asking for one of its names would go through the server. */
async function clearTarget(target: AbsPath, how: 'umount' | 'fusermount3', signal?: AbortSignal): Promise<void> {
  const mount = await findMountPoint(target);
  if (mount === undefined) {
    await mkdir(target, { recursive: true });
    return;
  }
  if (mount.fsType !== `fuse.${FUSE_SUBTYPE}` || (await answers(target))) {
    throw new StkError('conflict', `something is mounted on ${target} already (${mount.fsType})`, {
      hint: 'unmount it first, or choose another directory',
      facts: { path: target, fsType: mount.fsType },
    });
  }
  await detachFuse(target, how, signal);
}

/** statfs(2) is the one question about a FUSE mount that the kernel never answers from memory. */
async function answers(target: AbsPath): Promise<boolean> {
  const asked = statfs(target).then(
    () => true,
    (error: unknown) => errnoOf(error) !== 'ENOTCONN',
  );
  return Promise.race([asked, sleep(ANSWER_TIMEOUT_MS, true, { ref: false })]);
}
