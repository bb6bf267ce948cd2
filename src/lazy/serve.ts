import { setTimeout as sleep } from 'node:timers/promises';
import { AsyncScope } from '../core/async-scope.ts';
import { errnoOf, isStkError, messageOf, throwIfAborted } from '../core/errors.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { closeSync, readFile, rm } from '../host/files.ts';
import { abortConnection, detachFuse, raiseReadahead } from '../host/fuse/mount-point.ts';
import { findMount } from '../host/mount-table.ts';
import type { FuseSession } from '../host/fuse/negotiate.ts';
import { MAX_READAHEAD_BYTES, serveFiles } from './file-server.ts';
import { FileTable, type ServedFile } from './file-table.ts';
import { openServedBlob, type OpenFar } from './open-served-blob.ts';
import { parseLeftSession, type BlobToServe, type ServeSpec, type ServerState } from './serve-spec.ts';
import { openServerLog, type ServerLog } from './server-log.ts';

/** Name of stk's mounts in the mount table, as `fuse.stk`. */
export const FUSE_SUBTYPE = 'stk';

export interface ServeOptions {
  /** Fires to end the server: it detaches the mount, serves what is still open for `drainMs`, and ends. */
  readonly signal: AbortSignal;
  /** Opens blobs that are no files. */
  readonly openFar?: OpenFar | undefined;
  /** Called once files can be read. */
  readonly onReady: () => void;
}

/**
 * How a server ended: `unmounted` from outside or after the signal with nobody left; `abandoned` when users remained
 * after the signal and their connection could not be cut, which only the end of the process can do: pending reads of
 * the device hold threads that an ordinary exit would wait for, so the caller must end with SIGKILL.
 */
export type ServeEnd = 'unmounted' | 'abandoned';

/**
 * Serves a directory of verified files on a device that is mounted already. Where a server died that had begun to serve
 * it, goes on in its place: the kernel asks again what that one left unanswered. This process must never touch the mount itself: nobody would
 * answer. Needs a libuv pool larger than the reads of the device that wait (`UV_THREADPOOL_SIZE`).
 */
export async function serve(spec: ServeSpec, options: ServeOptions): Promise<ServeEnd> {
  await using scope = new AsyncScope();
  const log = scope.use(openServerLog(spec.logFile));
  const files: (ServedFile & { readonly blob: BlobToServe })[] = [];
  for (const blob of spec.blobs) {
    files.push({ name: blob.name, reader: scope.use(await openServedBlob(blob, options)), blob });
  }
  const digests = new Map<ServedFile, string>(files.map(file => [file, file.blob.digest]));
  const table = new FileTable(files, { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 });
  throwIfAborted(options.signal);
  scope.defer(() => closeSync(spec.device));
  const resumed = await leftSession(spec);
  log.write({ event: resumed ? 'resumed' : 'mounted', target: spec.target, pid: process.pid });
  const state: ServerState = {
    pid: process.pid,
    keeper: process.ppid,
    target: spec.target,
    files: files.map(file => file.name),
    ...(resumed && { session: resumed }),
  };
  await writeFileAtomic(spec.stateFile, JSON.stringify(state), { mode: 0o600 });
  scope.defer(() => rm(spec.stateFile, { force: true }));
  const served = serveFiles(spec.device, table, {
    resumed,
    onReady: session => void announce(spec, { ...state, session }, options, log),
    onReadError: (file, offset, error) => logReadError(log, digests.get(file) ?? file.name, offset, error),
    onFault: error => log.write({ event: 'fault', message: messageOf(error) }, `fault ${messageOf(error)}`),
  });
  const end = await Promise.race([served.then((): ServeEnd => 'unmounted'), endOnSignal(spec, served, options.signal)]);
  log.write({ event: end, target: spec.target, pid: process.pid });
  return end;
}

async function leftSession(spec: ServeSpec): Promise<FuseSession | undefined> {
  try {
    return parseLeftSession(await readFile(spec.stateFile, 'utf8'), spec.target);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** From here on another server can take over, if the kernel lets it. */
async function announce(spec: ServeSpec, state: ServerState, options: ServeOptions, log: ServerLog): Promise<void> {
  const mount = await findMount(spec.target);
  if (mount) await raiseReadahead(mount, MAX_READAHEAD_BYTES);
  await writeFileAtomic(spec.stateFile, JSON.stringify(state), { mode: 0o600 }).catch((error: unknown) => {
    log.write({ event: 'fault', message: messageOf(error) });
  });
  options.onReady();
}

function logReadError(log: ServerLog, digest: string, readOffset: number, error: unknown): void {
  const facts = isStkError(error) ? error.facts : {};
  const offset = typeof facts['offset'] === 'number' ? facts['offset'] : readOffset;
  const code = isStkError(error) ? error.code : 'read-failed';
  log.write({ event: code, digest, offset, message: messageOf(error) }, `${code} ${digest} ${offset}`);
}

async function endOnSignal(spec: ServeSpec, served: Promise<void>, signal: AbortSignal): Promise<ServeEnd> {
  await new Promise<void>(resolve => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  // The table forgets the mount once it is detached.
  const mount = await findMount(spec.target);
  await detachFuse(spec.target, spec.unmountWith).catch(() => {});
  const ended = served.then((): ServeEnd => 'unmounted');
  const drained = await Promise.race([ended, sleep(spec.drainMs, undefined, { ref: false })]);
  if (drained) return drained;
  return mount && (await abortConnection(mount)) ? ended : 'abandoned';
}
