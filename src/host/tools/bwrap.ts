import type { FileHandle } from '../files.ts';
import type { AbsPath } from '../../core/paths.ts';
import { startTool, type RunningTool } from '../exec.ts';
import { openBwrapArguments } from './bwrap-arguments.ts';
import { quoted } from './quoted.ts';
import { LAUNCHER_ENVIRONMENT, sandboxLaunch } from './sandbox-launcher.ts';

export interface BwrapRun {
  /** bubblewrap's own arguments. */
  readonly options: readonly string[];
  readonly command: readonly string[];
  /** See `openBwrapArguments`. */
  readonly scratch: AbsPath;
  /** See `SandboxLaunch`. */
  readonly realRoot: boolean;
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
  const words = ['--die-with-parent', ...run.options];
  const command = await sandboxLaunch({
    args: ['--args', '3', '--', ...run.command],
    closeFrom: 4,
    realRoot: run.realRoot,
  });
  if (run.stdio === 'terminal') return startInTerminal(run, await openBwrapArguments(run.scratch, words), command);
  await using args = await openBwrapArguments(run.scratch, words);
  const [program, ...rest] = command;
  return await startTool(program, rest, {
    env: LAUNCHER_ENVIRONMENT,
    inheritFds: [args.fd],
    stdin: run.stdio === 'capture' ? 'ignore' : 'inherit',
    stdout: run.stdio === 'inherit' ? 'inherit' : 'pipe',
    stderr: run.stdio === 'inherit' ? 'inherit' : 'collect',
    signal: run.signal,
    ...(run.onStdout === undefined ? {} : { onStdout: run.onStdout }),
    ...(run.onStderr === undefined ? {} : { onStderr: run.onStderr }),
  });
}

/** script(1) hands down no descriptors, so that its shell opens the arguments. */
async function startInTerminal(run: BwrapRun, args: FileHandle, command: readonly string[]): Promise<RunningTool> {
  const shell = `exec ${command.map(quoted).join(' ')} 3</proc/${process.pid}/fd/${args.fd}`;
  try {
    const tool = await startTool('script', ['-qefc', shell, '/dev/null'], {
      env: { ...LAUNCHER_ENVIRONMENT, SHELL: '/bin/sh' },
      stdin: 'inherit',
      stdout: 'pipe',
      signal: run.signal,
    });
    tool.stdout.on('data', (chunk: Buffer) => run.onTerminal?.(chunk));
    return { ...tool, done: closing(tool.done, args) };
  } catch (error) {
    await args.close();
    throw error;
  }
}

async function closing<T>(work: Promise<T>, file: FileHandle): Promise<T> {
  try {
    return await work;
  } finally {
    await file.close();
  }
}
