import { AsyncScope } from '../../core/async-scope.ts';
import type { AbsPath } from '../../core/paths.ts';
import { startTool, type RunningTool } from '../exec.ts';
import { openBwrapArguments, openUnnamedFile } from './bwrap-arguments.ts';
import { quoted } from './quoted.ts';
import { LAUNCHER_ENVIRONMENT, sandboxLaunch } from './sandbox-launcher.ts';

export interface BwrapRun {
  /** bubblewrap's own arguments. */
  readonly options: readonly string[];
  readonly command: readonly string[];
  /** Descriptor of a user namespace to run in, that is a child of this process's; it stays the caller's. */
  readonly userNamespace?: number | undefined;
  /** See `openBwrapArguments`. */
  readonly scratch: AbsPath;
  /** See `SandboxLaunch`. */
  readonly realRoot: boolean;
  readonly capabilities: readonly number[];
  /** A program of classic BPF that every process inside is subject to (`--seccomp`). */
  readonly filter: Uint8Array;
  /**
   * `inherit` hands over the caller's streams, `watch` its input alone. `terminal` is one of its own, made by script(1), that
   * takes the caller's keys.
   */
  readonly stdio: 'capture' | 'inherit' | 'watch' | 'terminal';
  readonly signal?: AbortSignal | undefined;
  readonly onStdout?: (line: string) => void;
  readonly onStderr?: (line: string) => void;
  /** Receives what a terminal of its own shows, as it comes. */
  readonly onTerminal?: (bytes: Uint8Array) => void;
}

/** Starts a command in bubblewrap. It dies with this process (`--die-with-parent` is added). */
export async function startBwrap(run: BwrapRun): Promise<RunningTool> {
  const { scratch } = run;
  const command = await sandboxLaunch({
    args: ['--args', '3', '--', ...run.command],
    closeFrom: run.userNamespace === undefined ? 5 : 6,
    realRoot: run.realRoot,
    capabilities: run.capabilities,
  });
  const files = new AsyncScope();
  try {
    const inNamespace = run.userNamespace === undefined ? [] : ['--userns', '5'];
    const words = ['--die-with-parent', '--seccomp', '4', ...inNamespace, ...run.options];
    const args = files.use(await openBwrapArguments(scratch, words));
    const filter = files.use(await openUnnamedFile(scratch, run.filter));
    const start = run.stdio === 'terminal' ? startInTerminal : startWithStreams;
    const shared = run.userNamespace === undefined ? [] : [run.userNamespace];
    const tool = await start(run, command, [args.fd, filter.fd, ...shared]);
    return { ...tool, done: closing(tool.done, files) };
  } catch (error) {
    await files[Symbol.asyncDispose]();
    throw error;
  }
}

async function startWithStreams(
  run: BwrapRun,
  [program, ...words]: readonly [string, ...string[]],
  fds: readonly number[],
): Promise<RunningTool> {
  return startTool(program, words, {
    env: LAUNCHER_ENVIRONMENT,
    shownAs: ['bwrap', '--', ...run.command],
    inheritFds: fds,
    stdin: run.stdio === 'capture' ? 'ignore' : 'inherit',
    stdout: run.stdio === 'inherit' ? 'inherit' : 'pipe',
    stderr: run.stdio === 'inherit' ? 'inherit' : 'collect',
    signal: run.signal,
    ...(run.onStdout === undefined ? {} : { onStdout: run.onStdout }),
    ...(run.onStderr === undefined ? {} : { onStderr: run.onStderr }),
  });
}

/** script(1) hands down no descriptors, so that its shell opens the files. */
async function startInTerminal(
  run: BwrapRun,
  command: readonly string[],
  fds: readonly number[],
): Promise<RunningTool> {
  const own = `/proc/${process.pid}/fd`;
  const files = fds.map((fd, index) => `${index + 3}<${own}/${fd}`);
  const shell = `exec ${command.map(quoted).join(' ')} ${files.join(' ')}`;
  const tool = await startTool('script', ['-qefc', shell, '/dev/null'], {
    env: { ...LAUNCHER_ENVIRONMENT, SHELL: '/bin/sh' },
    stdin: 'inherit',
    stdout: 'pipe',
    signal: run.signal,
  });
  tool.stdout.on('data', (chunk: Buffer) => run.onTerminal?.(chunk));
  return tool;
}

async function closing<T>(work: Promise<T>, files: AsyncScope): Promise<T> {
  try {
    return await work;
  } finally {
    await files[Symbol.asyncDispose]();
  }
}
