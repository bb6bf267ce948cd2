import { open, unlink } from 'node:fs/promises';
import path from 'node:path';
import type { AbsPath } from '../../core/paths.ts';
import { temporaryName } from '../atomic-write.ts';
import { startTool, type RunningTool } from '../exec.ts';

export interface BwrapRun {
  /** bubblewrap's own arguments; they travel through a descriptor, so that no value shows in a process list. */
  readonly options: readonly string[];
  readonly command: readonly string[];
  /** A directory of the caller's where the arguments rest for a moment, unlinked, mode 0600. */
  readonly scratch: AbsPath;
  /** `inherit` hands over the caller's terminal. */
  readonly stdio: 'capture' | 'inherit';
  readonly signal?: AbortSignal | undefined;
  readonly onStdout?: (line: string) => void;
  readonly onStderr?: (line: string) => void;
}

/** Starts a command in bubblewrap. It dies with this process (`--die-with-parent` is added). */
export async function startBwrap(run: BwrapRun): Promise<RunningTool> {
  const file = temporaryName(path.join(run.scratch, 'bwrap-args'));
  const handle = await open(file, 'wx+', 0o600);
  try {
    await unlink(file);
    await handle.writeFile(['--die-with-parent', ...run.options].map(argument => `${argument}\0`).join(''));
    // The child shares the file offset; the tool reads from the start.
    const inherit = await open(`/proc/self/fd/${handle.fd}`, 'r');
    try {
      return await startTool('bwrap', ['--args', '3', '--', ...run.command], {
        inheritFds: [inherit.fd],
        stdin: run.stdio === 'inherit' ? 'inherit' : 'ignore',
        stdout: run.stdio === 'inherit' ? 'inherit' : 'pipe',
        stderr: run.stdio === 'inherit' ? 'inherit' : 'collect',
        signal: run.signal,
        ...(run.onStdout === undefined ? {} : { onStdout: run.onStdout }),
        ...(run.onStderr === undefined ? {} : { onStderr: run.onStderr }),
      });
    } finally {
      await inherit.close();
    }
  } finally {
    await handle.close();
  }
}
