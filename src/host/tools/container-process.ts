import { spawn, type ChildProcess } from 'node:child_process';
import { AsyncScope } from '../../core/async-scope.ts';
import { errnoOf, StkError } from '../../core/errors.ts';
import { joinInside, type AbsPath } from '../../core/paths.ts';
import { open, readFile, type FileHandle } from '../files.ts';
import { missingTool } from '../find-tool.ts';
import { systemCommand } from '../raw-command.ts';
import { toolEnvironment } from '../tool-path.ts';
import { openBwrapArguments, openUnnamedFile } from './bwrap-arguments.ts';
import { exitStatus } from './exit-status.ts';
import { quoted } from './quoted.ts';
import { LAUNCHER_ENVIRONMENT, sandboxLaunch } from './sandbox-launcher.ts';
import { keepInheritedFiles } from '../inherited-files.ts';

export interface ContainerProcessOptions {
  /** bubblewrap's own arguments. */
  readonly options: readonly string[];
  readonly command: readonly string[];
  /** A private directory; what is left in it goes with it. */
  readonly scratch: AbsPath;
  /** See `BwrapRun`. */
  readonly realRoot: boolean;
  readonly capabilities: readonly number[];
  readonly filter: Uint8Array;
  /** Whether the caller's standard input is the container's, too; otherwise it is at its end. */
  readonly stdin: boolean;
  /** A terminal of its own, which follows the caller's in size and passes on its keys. */
  readonly tty: boolean;
}

/** A process in bubblewrap whose streams are the caller's. It dies with this process. */
export interface ContainerProcess {
  /** Exit status of the command; 128 + n where a signal ended it. */
  readonly done: Promise<number>;
  /** Sends a signal to the command itself; nothing where it is gone. */
  signal(name: NodeJS.Signals | number): Promise<void>;
}

/**
 * Starts a command in bubblewrap, in the foreground, with script(1) between where it gets a terminal of its own. `done`
 * fails with `missing-capability` where a tool is not installed.
 */
export async function startContainerProcess(run: ContainerProcessOptions): Promise<ContainerProcess> {
  const { scratch } = run;
  const info = joinInside(scratch, 'bwrap-info');
  const scope = new AsyncScope();
  try {
    const args = scope.use(
      await openBwrapArguments(scratch, ['--die-with-parent', '--info-fd', '4', '--seccomp', '5', ...run.options]),
    );
    const infoFile = scope.use(await open(info, 'w', 0o600));
    const filter = scope.use(await openUnnamedFile(scratch, run.filter));
    const words = await sandboxLaunch({
      args: ['--args', '3', '--', ...run.command],
      closeFrom: 6,
      realRoot: run.realRoot,
      capabilities: run.capabilities,
    });
    const child = startChild(run, words, [args, infoFile, filter]);
    const ended = new Promise<number>((resolve, reject) => {
      child.on('error', cause => reject(cannotStart(child.spawnfile, cause)));
      child.on('exit', (code, signal) => resolve(exitStatus(code, signal)));
    });
    const done = closing(ended, scope);
    // It may fail before its caller has come to waiting for it.
    done.catch(() => {});
    return { done, signal: name => signalCommand(child, info, name) };
  } catch (error) {
    await scope[Symbol.asyncDispose]();
    throw error;
  }
}

async function closing<T>(ended: Promise<T>, files: AsyncScope): Promise<T> {
  try {
    return await ended;
  } finally {
    await files[Symbol.asyncDispose]();
  }
}

/** The files become descriptors 3, 4 and 5. */
function startChild(
  { stdin, tty }: ContainerProcessOptions,
  words: readonly [string, ...string[]],
  [args, info, filter]: readonly [FileHandle, FileHandle, FileHandle],
): ChildProcess {
  if (!tty) {
    const [file, ...rest] = words;
    const command = systemCommand({ file, args: rest, env: toolEnvironment(LAUNCHER_ENVIRONMENT) });
    keepInheritedFiles();
    return spawn(command.file, command.args, {
      stdio: [stdin ? 'inherit' : 'ignore', 'inherit', 'inherit', args.fd, info.fd, filter.fd],
      env: command.env,
      // Keys such as Ctrl-C reach the container once: by us.
      detached: true,
    });
  }
  // script(1) hands down no descriptors, so that its shell opens them. Keys go to the container's own terminal.
  const own = `/proc/${process.pid}/fd`;
  const shell = `exec ${words.map(quoted).join(' ')} 3<${own}/${args.fd} 4>${own}/${info.fd} 5<${own}/${filter.fd}`;
  const command = systemCommand({
    file: 'setpriv',
    args: ['--pdeathsig', 'KILL', 'script', '-qefc', shell, '/dev/null'],
    env: toolEnvironment({ ...LAUNCHER_ENVIRONMENT, SHELL: '/bin/sh' }),
  });
  keepInheritedFiles();
  return spawn(command.file, command.args, { stdio: 'inherit', env: command.env });
}

async function signalCommand(child: ChildProcess, info: AbsPath, name: NodeJS.Signals | number): Promise<void> {
  const pid = await commandPid(info);
  try {
    if (pid !== undefined) process.kill(pid, name);
    else child.kill(name);
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error;
  }
}

function cannotStart(program: string, cause: Error): StkError {
  if (errnoOf(cause) === 'ENOENT') return missingTool(program, cause);
  return new StkError('missing-capability', `cannot start ${program}: ${cause.message}`, { cause });
}

/** The command is the one child of bubblewrap's init in the sandbox. */
async function commandPid(info: AbsPath): Promise<number | undefined> {
  const text = await readFile(info, 'utf8').catch(() => '');
  const init = Number(/"child-pid":\s*(\d+)/.exec(text)?.[1]);
  if (!Number.isSafeInteger(init)) return undefined;
  const children = await readFile(`/proc/${init}/task/${init}/children`, 'utf8').catch(() => '');
  const [first] = children.trim().split(/\s+/);
  return first ? Number(first) : init;
}
