import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';

/** A step that runs and waits to be told how to end. */
export interface ControlledStep {
  readonly name: string;
  /** Lets the step end with an exit status. */
  finish(exitStatus?: number): void;
  /** Resolves when the step is gone, however it ended. */
  readonly gone: Promise<void>;
}

/**
 * Steps that connect back, so that a test knows what runs and decides when it ends. A busybox in the image connects
 * over the loopback network; the port comes to it in a bound directory, so that it is in no cache key.
 */
export class ControlledSteps implements AsyncDisposable {
  readonly #server: Server;
  readonly #directory: string;
  readonly #arrived = new Map<string, ControlledStep[]>();
  readonly #waiting = new Map<string, ((step: ControlledStep) => void)[]>();
  readonly #sockets = new Set<Socket>();
  readonly #history: string[] = [];

  private constructor(server: Server, directory: string) {
    this.#server = server;
    this.#directory = directory;
    server.on('connection', socket => this.#accept(socket));
  }

  /** @param directory created here, readable to every user */
  static async open(directory: string): Promise<ControlledSteps> {
    await mkdir(directory, { mode: 0o755 });
    const server = createServer();
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the server has no port');
    await writeFile(path.join(directory, 'port'), String(address.port), { mode: 0o644 });
    return new ControlledSteps(server, directory);
  }

  /** The names of steps in the order in which they started. */
  get history(): readonly string[] {
    return this.#history;
  }

  /** An image for a recipe, from nothing but busybox, whose `run` is the controlled step of that name. */
  image(name: string, settings: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
    // A pipe that the step itself holds open keeps the connection whole, so that its end is the end of the step.
    const script = [
      '#!/bin/busybox sh',
      'busybox() { /bin/busybox "$@"; }',
      'busybox mkfifo /dev/ask && exec 3<>/dev/ask',
      `echo ${name} >&3`,
      'status=$(busybox nc 127.0.0.1 "$(busybox cat /control/port)" <&3)',
      `echo ${name} > /${name}`,
      'exit "${status:-99}"',
    ];
    return {
      from: { type: 'scratch' },
      imports: [{ path: '/bin/busybox', dest: '/bin/busybox', mode: '0755' }],
      binds: [{ source: this.#directory, dest: '/control', cache: 'ignore' }],
      run: `${script.join('\n')}\n`,
      ...settings,
    };
  }

  /**
   * Resolves when the step of that name runs, or has begun to run since the last call for it; rejects when `build`, the
   * end of the process that should run it, if given, comes first.
   */
  async started(name: string, build?: Promise<{ readonly stderr: string }>): Promise<ControlledStep> {
    const there = this.#arrived.get(name)?.shift();
    if (there) return there;
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(name) ?? [];
      this.#waiting.set(name, [...waiting, resolve]);
      void build?.then(
        ({ stderr }) => reject(new Error(`the build ended before the step ${name} ran:\n${stderr}`)),
        reject,
      );
    });
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    const gone = new Promise<void>(resolve => {
      socket.on('close', () => {
        this.#sockets.delete(socket);
        resolve();
      });
    });
    let text = '';
    socket.setEncoding('utf8').on('data', chunk => {
      if (text.includes('\n')) return;
      text += String(chunk);
      const [name, rest] = text.split('\n', 2);
      if (rest === undefined || name === undefined) return;
      this.#arrive({ name, gone, finish: (status = 0) => void socket.end(`${status}\n`) });
    });
  }

  #arrive(step: ControlledStep): void {
    this.#history.push(step.name);
    const [first, ...others] = this.#waiting.get(step.name) ?? [];
    this.#waiting.set(step.name, others);
    if (first) first(step);
    else this.#arrived.set(step.name, [...(this.#arrived.get(step.name) ?? []), step]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await new Promise(resolve => this.#server.close(resolve));
  }
}
