import { chmod, chown, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { inject } from 'vitest';
import { AsyncScope } from '../../src/core/async-scope.ts';
import { systemCommand } from '../../src/host/raw-command.ts';
import { ControlledSteps } from './controlled-steps.ts';
import { DockerRegistry, type DockerRegistryOptions } from './docker-registry.ts';
import { findLeftovers, unmountBelow } from './leftovers.ts';
import { commandAs, ordinaryUser, self, type Actor } from './users.ts';

export interface RigOptions {
  /** Whose the directory is, and who runs commands unless they say otherwise; by default whoever runs the tests. */
  readonly as?: Actor;
  /** How long killed processes may take to go at the end. */
  readonly graceMs?: number;
  /** Mounts of this rig have a server of their own, which may be killed; by default the tests of a run share one. */
  readonly ownServer?: boolean;
}

export interface StkOptions {
  /** Who runs it; by default whom the rig was opened for. */
  readonly as?: Actor;
  /** Added to a small fixed environment; nothing of the tests' own passes. */
  readonly env?: Readonly<Record<string, string>>;
  /** The rig's directory by default. */
  readonly cwd?: string;
  /** Empty by default. */
  readonly stdin?: string;
  /** A file or directory that it inherits open, as descriptor 100. */
  readonly inherits?: string;
  /** A command that prepares its own process, and then becomes the command line that follows. */
  readonly through?: readonly [string, ...string[]];
  /** Run it in a terminal of this size; what it writes comes as one stream, lines ended by CR LF. */
  readonly terminal?: { readonly rows: number; readonly columns: number };
}

export interface StkResult {
  readonly stdout: string;
  readonly stderr: string;
  /** `undefined` where a signal ended it. */
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
}

/** A running command line. */
export interface RunningStk {
  readonly pid: number;
  readonly done: Promise<StkResult>;
  /** Resolves once standard error, from the call on, matches; rejects if it ends before. */
  said(pattern: RegExp): Promise<void>;
  kill(signal: NodeJS.Signals): void;
}

/**
 * A directory on a disk, and the built command line to use in it. Disposing it proves that nothing was left mounted or
 * running in the directory, and removes it; what was left fails the test.
 */
export class StkRig implements AsyncDisposable {
  readonly directory: string;
  readonly #actor: Actor | undefined;
  readonly #graceMs: number;
  /** The command line's program. */
  #cli = inject('stk').cli;
  readonly #scope = new AsyncScope();

  private constructor(directory: string, { as, graceMs = 5000 }: RigOptions) {
    this.directory = directory;
    this.#actor = as;
    this.#graceMs = graceMs;
  }

  static async open(options: RigOptions = {}): Promise<StkRig> {
    const directory = await mkdtemp(path.join(inject('stk').rigs, 'rig-'));
    await chmod(directory, 0o755);
    const rig = new StkRig(directory, options);
    await mkdir(rig.path('home'));
    if (options.ownServer) await rig.#nameProgram();
    if (options.as === 'user' && self.uid === 0) {
      const account = await ordinaryUser();
      if (!account) throw new Error('there is no ordinary user for the tests; run ./setup --tests');
      for (const name of ['', 'home']) await chown(rig.path(name), account.uid, account.gid);
    }
    return rig;
  }

  path(...parts: readonly string[]): string {
    return path.join(this.directory, ...parts);
  }

  /** Writes a file below the directory, readable to everybody; objects are written as JSON, which is YAML, too. */
  async write(file: string, content: string | Uint8Array | object, mode = 0o644): Promise<string> {
    const target = this.path(file);
    await mkdir(path.dirname(target), { recursive: true });
    const isText = typeof content === 'string' || content instanceof Uint8Array;
    await writeFile(target, isText ? content : JSON.stringify(content, null, 2));
    await chmod(target, mode);
    return target;
  }

  /** Runs the command line to its end; a failure is an answer. */
  async stk(args: readonly string[], options: StkOptions = {}): Promise<StkResult> {
    return (await this.start(args, options)).done;
  }

  /** Runs the command line and expects it to succeed; returns its standard output. */
  async ok(args: readonly string[], options: StkOptions = {}): Promise<string> {
    const { exitCode, signal, stdout, stderr } = await this.stk(args, options);
    if (exitCode === 0) return stdout;
    throw new Error(`stk ${args.join(' ')} ended with ${exitCode ?? signal}:\n${stderr}`);
  }

  async start(args: readonly string[], options: StkOptions = {}): Promise<RunningStk> {
    const { node } = inject('stk');
    const env = { ...this.#environment(), ...options.env };
    const words = inTerminal(
      inheriting([...(options.through ?? []), node, this.#cli, ...args] as [string, ...string[]], options.inherits),
      options.terminal,
    );
    const command = await commandAs(options.as ?? this.#actor, words, env);
    // Arguments and directories in the form of `hostText` reach it as bytes.
    const raw = systemCommand({ file: command.file, args: command.args, cwd: options.cwd ?? this.directory, env });
    const child = execa(raw.file, raw.args, {
      ...command.identity,
      cwd: raw.cwd ?? '/',
      env: raw.env,
      extendEnv: false,
      input: options.stdin ?? '',
      reject: false,
      stripFinalNewline: false,
      maxBuffer: 64 * 1024 * 1024,
    });
    const done = child.then(({ stdout, stderr, exitCode, signal }) => ({ stdout, stderr, exitCode, signal }));
    this.#scope.defer(async () => {
      child.kill('SIGKILL');
      await done;
    });
    const said = (pattern: RegExp) =>
      new Promise<void>((resolve, reject) => {
        let text = '';
        child.stderr.on('data', chunk => {
          text += String(chunk);
          if (pattern.test(text)) resolve();
        });
        void done.then(result => reject(new Error(`it ended without saying ${pattern}:\n${result.stderr}`)));
      });
    return { pid: child.pid ?? -1, done, said, kill: signal => void child.kill(signal) };
  }

  /** Steps that connect back; see `ControlledSteps.image`. */
  async steps(): Promise<ControlledSteps> {
    return this.#scope.use(await ControlledSteps.open(this.path('control')));
  }

  /** A registry on the loopback network; `host` is what references name. */
  async registry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
    return this.#scope.use(await DockerRegistry.start(options));
  }

  /** Servers are known by the program's name. It lies outside of the directory, as they outlive their mounts. */
  async #nameProgram(): Promise<void> {
    const { rigs, cli } = inject('stk');
    const link = path.join(await mkdtemp(path.join(rigs, 'program-')), 'dist');
    await chmod(path.dirname(link), 0o755);
    await symlink(path.dirname(cli), link);
    this.#cli = path.join(link, path.basename(cli));
  }

  #environment(): Record<string, string> {
    return { PATH: process.env['PATH'] ?? '', HOME: this.path('home'), LC_ALL: 'C.UTF-8' };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    const leftovers = await findLeftovers(this.directory, this.#graceMs);
    if (leftovers.length > 0) await unmountBelow(this.directory);
    await removeTree(this.directory);
    if (leftovers.length > 0) throw new Error(`left behind:\n${leftovers.join('\n')}`);
  }
}

function inheriting(words: [string, ...string[]], file: string | undefined): [string, ...string[]] {
  return file === undefined ? words : ['bash', '-c', 'exec 100<"$0"; exec "$@"', file, ...words];
}

/** script(1) makes the terminal. */
function inTerminal(words: [string, ...string[]], terminal: StkOptions['terminal']): [string, ...string[]] {
  if (!terminal) return words;
  const quoted = words.map(word => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const shell = `stty rows ${terminal.rows} cols ${terminal.columns}; exec ${quoted}`;
  return ['script', '-qec', shell, '/dev/null'];
}

/** Rootless builds leave files of subordinate ids, which their owner can remove in a user namespace only. */
async function removeTree(directory: string): Promise<void> {
  try {
    await rm(directory, { recursive: true, force: true });
  } catch {
    const { file, args, identity } = await commandAs(
      'user',
      ['unshare', '--user', '--map-auto', '--map-root-user', 'rm', '-rf', directory],
      {},
    );
    await execa(file, args, { ...identity, cwd: '/', reject: false });
    await rm(directory, { recursive: true, force: true });
  }
}
