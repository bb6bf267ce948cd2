import { setTimeout as sleep } from 'node:timers/promises';
import { AsyncScope } from '../core/async-scope.ts';
import { isStkError, messageOf, throwIfAborted } from '../core/errors.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { closeSync, rm } from '../host/files.ts';
import { abortConnection, detachFuse, raiseReadahead } from '../host/fuse/mount-point.ts';
import { findMount } from '../host/mount-table.ts';
import type { FuseSession } from '../host/fuse/negotiate.ts';
import type { ReadyFiles } from '../host/syscalls/epoll.ts';
import { MAX_READAHEAD_BYTES, serveFiles } from './file-server.ts';
import { FileTable, type ServedFile } from './file-table.ts';
import { openServedBlob, type OpenFar } from './open-served-blob.ts';
import type { ServeSpec, ServerState } from './serve-spec.ts';
import { openServerLog, type ServerLog } from './server-log.ts';

/** Name of stk's mounts in the mount table, as `fuse.stk`. */
export const FUSE_SUBTYPE = 'stk';

export interface ServeOptions {
  /** The /dev/fuse that was mounted on the target, which does not block; closed at the end. */
  readonly device: number;
  readonly ready: ReadyFiles;
  /** What a server before this one agreed on with the kernel: the kernel asks again what that one left unanswered. */
  readonly resumed?: FuseSession | undefined;
  /** Fires to end: the mount is detached, what is still open is served for `drainMs`. */
  readonly signal: AbortSignal;
  /** Opens blobs that are no files. */
  readonly openFar?: OpenFar | undefined;
  /** The process that would become the next server. */
  readonly keeper: () => number | undefined;
  /** Called once files can be read. */
  readonly onReady: (session: FuseSession) => void;
  /** Called once, before the device is closed. */
  readonly onEnd: () => void;
}

/** A mount while it is served. */
export interface ServedMount {
  /** Settled once the mount is gone, or was given up after the signal although it is still in use. */
  readonly ended: Promise<void>;
  /** Writes the state anew, as the keeper is another one. */
  noteKeeper(): Promise<void>;
}

/**
 * Serves a directory of verified files on a device that is mounted already. This process must never touch the mount
 * itself: nobody would answer. Throws what opening a blob throws; the device is closed then.
 */
export async function serve(spec: ServeSpec, options: ServeOptions): Promise<ServedMount> {
  const scope = new AsyncScope();
  try {
    scope.defer(() => closeSync(options.device));
    scope.defer(options.onEnd);
    const log = scope.use(openServerLog(spec.logFile));
    const files: ServedFile[] = [];
    for (const blob of spec.blobs) {
      files.push({ name: blob.name, reader: scope.use(await openServedBlob(blob, options)) });
    }
    const table = new FileTable(files, { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 });
    throwIfAborted(options.signal);
    log.write({ event: options.resumed ? 'resumed' : 'mounted', target: spec.target, pid: process.pid });
    const state = new StateFile(spec, options);
    await state.write(options.resumed);
    scope.defer(() => rm(spec.stateFile, { force: true }));
    const serving = { ...options, log, state };
    return { ended: serveToEnd(spec, table, { serving, scope }), noteKeeper: () => state.write() };
  } catch (error) {
    await scope[Symbol.asyncDispose]();
    throw error;
  }
}

interface Serving extends ServeOptions {
  readonly log: ServerLog;
  readonly state: StateFile;
}

async function serveToEnd(
  spec: ServeSpec,
  table: FileTable,
  { serving, scope }: { readonly serving: Serving; readonly scope: AsyncScope },
): Promise<void> {
  await using _owned = scope;
  await serveAll(spec, table, serving);
}

async function serveAll(spec: ServeSpec, table: FileTable, options: Serving): Promise<void> {
  const { log, state, signal } = options;
  const digests = new Map(spec.blobs.map(blob => [blob.name, blob.digest]));
  const served = serveFiles(options.device, table, {
    ready: options.ready,
    resumed: options.resumed,
    onReady: session => void announce(spec, session, options),
    onReadError: (file, offset, error) => logReadError(log, digests.get(file.name) ?? file.name, offset, error),
    onFault: error => log.write({ event: 'fault', message: messageOf(error) }, `fault ${messageOf(error)}`),
  });
  const unmounted = served.then(() => 'unmounted' as const);
  const event = await Promise.race([unmounted, endOnSignal(spec, unmounted, signal)]);
  await state.close();
  log.write({ event, target: spec.target, pid: process.pid });
}

/** From here on another server can take over, if the kernel lets it. */
async function announce(spec: ServeSpec, session: FuseSession, { log, state, onReady }: Serving): Promise<void> {
  const mount = await findMount(spec.target);
  if (mount) await raiseReadahead(mount, MAX_READAHEAD_BYTES);
  await state.write(session).catch((error: unknown) => log.write({ event: 'fault', message: messageOf(error) }));
  onReady(session);
}

/** What is known of the mount, on a disk; one write follows the other, and none comes after the end. */
class StateFile {
  readonly #spec: ServeSpec;
  readonly #options: Pick<ServeOptions, 'keeper'>;
  #session: FuseSession | undefined;
  #last: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(spec: ServeSpec, options: Pick<ServeOptions, 'keeper'>) {
    this.#spec = spec;
    this.#options = options;
  }

  async write(session = this.#session): Promise<void> {
    this.#session = session;
    const next = this.#writeAfter(this.#last);
    this.#last = next.catch(() => {});
    return next;
  }

  async #writeAfter(last: Promise<void>): Promise<void> {
    await last;
    if (this.#isClosed) return;
    const keeper = this.#options.keeper();
    const state: ServerState = {
      pid: process.pid,
      ...(keeper === undefined ? {} : { keeper }),
      spec: this.#spec,
      ...(this.#session && { session: this.#session }),
    };
    await writeFileAtomic(this.#spec.stateFile, JSON.stringify(state), { mode: 0o600 });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#last;
  }
}

function logReadError(log: ServerLog, digest: string, readOffset: number, error: unknown): void {
  const facts = isStkError(error) ? error.facts : {};
  const offset = typeof facts['offset'] === 'number' ? facts['offset'] : readOffset;
  const code = isStkError(error) ? error.code : 'read-failed';
  log.write({ event: code, digest, offset, message: messageOf(error) }, `${code} ${digest} ${offset}`);
}

async function endOnSignal(
  spec: ServeSpec,
  unmounted: Promise<'unmounted'>,
  signal: AbortSignal,
): Promise<'unmounted' | 'abandoned'> {
  await new Promise<void>(resolve => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  // The table forgets the mount once it is detached.
  const mount = await findMount(spec.target);
  await detachFuse(spec.target, spec.unmountWith).catch(() => {});
  const drained = await Promise.race([unmounted, sleep(spec.drainMs, undefined, { ref: false })]);
  if (drained) return drained;
  // Where it cannot be cut, the end of this process and its keeper does it.
  return mount && (await abortConnection(mount)) ? unmounted : 'abandoned';
}
