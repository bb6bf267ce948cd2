import type { AbsPath } from '../../core/paths.ts';
import { startTool, type RunningTool } from '../exec.ts';
import { openBwrapArguments } from './bwrap-arguments.ts';

export interface BwrapRun {
  /** bubblewrap's own arguments. */
  readonly options: readonly string[];
  readonly command: readonly string[];
  /** See `openBwrapArguments`. */
  readonly scratch: AbsPath;
  /** `inherit` hands over the caller's terminal. */
  readonly stdio: 'capture' | 'inherit';
  readonly signal?: AbortSignal | undefined;
  readonly onStdout?: (line: string) => void;
  readonly onStderr?: (line: string) => void;
}

/** Starts a command in bubblewrap. It dies with this process (`--die-with-parent` is added). */
export async function startBwrap(run: BwrapRun): Promise<RunningTool> {
  await using args = await openBwrapArguments(run.scratch, ['--die-with-parent', ...run.options]);
  return await startTool('bwrap', ['--args', '3', '--', ...run.command], {
    inheritFds: [args.fd],
    stdin: run.stdio === 'inherit' ? 'inherit' : 'ignore',
    stdout: run.stdio === 'inherit' ? 'inherit' : 'pipe',
    stderr: run.stdio === 'inherit' ? 'inherit' : 'collect',
    signal: run.signal,
    ...(run.onStdout === undefined ? {} : { onStdout: run.onStdout }),
    ...(run.onStderr === undefined ? {} : { onStderr: run.onStderr }),
  });
}
