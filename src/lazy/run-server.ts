import { StkError, messageOf } from '../core/errors.ts';
import { SingleFlight } from '../core/single-flight.ts';
import { closeSync, readFile, rm, stat } from '../host/files.ts';
import type { FuseSession } from '../host/fuse/negotiate.ts';
import { LISTENING_DESCRIPTOR, startKeeper, type Keeper } from '../host/fuse/keep-server.ts';
import { keepInheritedFiles } from '../host/inherited-files.ts';
import { exitAtOnce } from '../host/syscalls/exit.ts';
import { ReadyFiles } from '../host/syscalls/epoll.ts';
import { setNonBlocking } from '../host/syscalls/read-now.ts';
import { acceptNow } from '../host/syscalls/unix-socket.ts';
import type { OpenFar } from './open-served-blob.ts';
import { parseLeftState, parseServeSpec, type ServeSpec } from './serve-spec.ts';
import { serve, type ServedMount } from './serve.ts';
import { ServerConnection, type ServeRequest } from './server-connection.ts';
import { keptName, serverEnvironment, type ServerSettings, type TakenOver } from './server-settings.ts';
import { refusal } from './server-words.ts';

/** Keepers that end although their server lives are killed on purpose: so many are followed by another one. */
const MAX_KEEPERS = 10;

/** Whoever started it asks at once, as soon as the machine lets it. */
const ASKED_WITHIN_MS = 10_000;

export interface ServerStart extends TakenOver {
  readonly settings: ServerSettings;
  /** Program and arguments of this process, for its keeper. */
  readonly command: readonly string[];
  /** Opens blobs that are no files. */
  readonly openFar?: OpenFar | undefined;
  /** Fires to end: each mount is detached, and what is still open of it is served for its `drainMs`. */
  readonly signal: AbortSignal;
}

/**
 * The whole life of a server process: it listens on the socket that it inherited, serves every mount that it is asked to,
 * and returns when there has been none for a while, or after the signal. What one that was killed has left, it goes on with.
 * The process must end then: mounts that are in use beyond the signal are cut off by that alone.
 */
export async function runServer(start: ServerStart): Promise<void> {
  // An ordinary end would wait for the thread that waits for devices: nobody would answer, and no keeper take over.
  process.on('uncaughtException', error => {
    say(error.stack ?? messageOf(error));
    exitAtOnce(1);
  });
  // Programs that are started get what they are given, and nothing else.
  keepInheritedFiles();
  await new BlockServer(start).run();
}

/** Into the log of this process. */
function say(text: string): void {
  process.stderr.write(`${new Date().toISOString()} ${text}\n`);
}

class BlockServer {
  readonly #start: ServerStart;
  readonly #ready = new ReadyFiles();
  readonly #mounts = new Set<ServedMount>();
  /** Devices that another server could go on with, by the keeper's names. */
  readonly #kept = new Map<string, number>();
  readonly #keeperStart = new SingleFlight<'keeper', void>();
  #keeper: Keeper | undefined;
  #keepers = 0;
  /** Requests that are not answered yet. */
  #waiting = 0;
  #hasName = true;
  #wasAsked: boolean;
  #idle: NodeJS.Timeout | undefined;
  #end: () => void = () => {};

  constructor(start: ServerStart) {
    this.#start = start;
    this.#wasAsked = start.devices.size > 0;
  }

  async run(): Promise<void> {
    const { signal, devices } = this.#start;
    const ended = new Promise<void>(resolve => (this.#end = resolve));
    for (const [stateFile, device] of devices) this.#kept.set(keptName(stateFile), device);
    if (devices.size > 0) await this.#needKeeper();
    await Promise.all([...devices].map(([stateFile, device]) => this.#resume(stateFile, device)));
    this.#ready.watch(LISTENING_DESCRIPTOR, () => this.#accept());
    signal.addEventListener('abort', () => void this.#leave().then(() => this.#look()), { once: true });
    if (signal.aborted) await this.#leave();
    this.#look();
    await ended;
    for (const name of this.#kept.keys()) this.#keeper?.drop(name);
    this.#ready[Symbol.dispose]();
  }

  /** Whoever comes from now on starts another server. */
  async #leave(): Promise<void> {
    if (!this.#hasName) return;
    this.#hasName = false;
    const { socket, inode, log } = this.#start.settings;
    const said = await stat(log).catch(() => undefined);
    if (said?.size === 0) await rm(log, { force: true });
    // One that was silent for long has lost its name to another.
    const named = await stat(socket).catch(() => undefined);
    if (named?.ino === inode) await rm(socket, { force: true });
  }

  /** Ends where there is nothing to do, after a while. */
  #look(): void {
    clearTimeout(this.#idle);
    if (this.#mounts.size > 0 || this.#waiting > 0) return;
    if (this.#start.signal.aborted) return this.#end();
    const patience = this.#wasAsked ? 0 : ASKED_WITHIN_MS;
    this.#idle = setTimeout(() => void this.#endIdle(), Math.max(this.#start.settings.idleMs, patience));
  }

  async #endIdle(): Promise<void> {
    await this.#leave();
    // Somebody may have connected before the name was gone.
    this.#accept();
    if (this.#mounts.size === 0 && this.#waiting === 0) this.#end();
  }

  #accept(): void {
    for (let socket = acceptNow(LISTENING_DESCRIPTOR); socket !== undefined; socket = acceptNow(LISTENING_DESCRIPTOR)) {
      this.#waiting++;
      this.#wasAsked = true;
      const connection: ServerConnection = new ServerConnection(socket, this.#ready, {
        onRequest: request => void this.#answer(request, connection),
        onEnd: () => {
          this.#waiting--;
          this.#look();
        },
      });
      connection.say({ listens: true });
    }
    this.#look();
  }

  async #answer({ text, device }: ServeRequest, connection: ServerConnection): Promise<void> {
    connection.say({ taken: true });
    try {
      await this.#needKeeper();
      await this.#begin(text, device);
      const keeper = this.#keeper?.pid;
      connection.say({ ready: true, pid: process.pid, ...(keeper === undefined ? {} : { keeper }) });
    } catch (error) {
      connection.say(refusal(error));
    } finally {
      connection.close();
    }
  }

  /** Returns once files can be read. Takes the device. */
  async #begin(text: string, device: number): Promise<void> {
    let spec: ServeSpec;
    try {
      spec = parseServeSpec(text);
      setNonBlocking(device);
    } catch (error) {
      closeSync(device);
      throw error;
    }
    await new Promise<void>((resolve, reject) => {
      const lost = () => reject(new StkError('interrupted', 'the mount was taken away before it was ready'));
      this.#serve(spec, { device, onReady: resolve }).then(mount => mount.ended.then(lost, reject), reject);
    });
  }

  /** Goes on with a mount. What cannot be read any more is closed, so that the kernel fails who waits for it. */
  async #resume(stateFile: string, device: number): Promise<void> {
    try {
      const { spec, session } = await readFile(stateFile, 'utf8').then(parseLeftState, (error: unknown) => {
        closeSync(device);
        throw error;
      });
      await this.#serve(spec, { device, resumed: session, onReady: () => {} });
    } catch (error) {
      this.#drop(keptName(stateFile));
      say(`cannot go on with ${stateFile}: ${messageOf(error)}`);
    }
  }

  async #serve(
    spec: ServeSpec,
    {
      device,
      resumed,
      onReady,
    }: { readonly device: number; readonly resumed?: FuseSession; readonly onReady: () => void },
  ): Promise<ServedMount> {
    const name = keptName(spec.stateFile);
    const mount = await serve(spec, {
      device,
      ready: this.#ready,
      resumed,
      signal: this.#start.signal,
      openFar: this.#start.openFar,
      keeper: () => this.#keeper?.pid,
      onReady: session => {
        if (session.canResend) this.#keep(name, device);
        onReady();
      },
      onEnd: () => this.#drop(name),
    });
    this.#mounts.add(mount);
    const gone = () => {
      this.#mounts.delete(mount);
      this.#look();
    };
    mount.ended.then(gone, (error: unknown) => {
      say(`stopped serving ${spec.target}: ${messageOf(error)}`);
      gone();
    });
    return mount;
  }

  #keep(name: string, device: number): void {
    this.#kept.set(name, device);
    this.#keeper?.keep(name, device);
  }

  #drop(name: string): void {
    if (this.#kept.delete(name)) this.#keeper?.drop(name);
  }

  /** Sees to it that there is a keeper. Without one mounts are served all the same, and end with this process. */
  async #needKeeper(): Promise<void> {
    if (this.#keeper || this.#keepers >= MAX_KEEPERS) return;
    await this.#keeperStart.run('keeper', async () => {
      this.#keepers++;
      try {
        const { command, deaths, settings } = this.#start;
        this.#keeper = await startKeeper({
          command,
          env: serverEnvironment(settings),
          deaths,
          listening: LISTENING_DESCRIPTOR,
          onEnd: () => void this.#replaceKeeper(),
        });
        for (const [name, device] of this.#kept) this.#keeper.keep(name, device);
      } catch (error) {
        say(messageOf(error));
      }
    });
  }

  async #replaceKeeper(): Promise<void> {
    this.#keeper = undefined;
    await this.#needKeeper();
    for (const mount of this.#mounts) await mount.noteKeeper();
  }
}
