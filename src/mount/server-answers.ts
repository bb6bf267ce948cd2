import { isStkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { runTool } from '../host/exec.ts';

/** How long a FUSE server may take to answer before it counts as dead. */
const ANSWER_MS = 5000;

/**
 * Whether the filesystems at all of these paths answer: a FUSE mount outlives a server that was killed, or hangs with one
 * that was stopped. They are asked for statfs(2), which the kernel never answers from a cache as it does stat(2), and by
 * a process of its own: a thread of this one that waits for a dead server could not be taken back.
 */
export async function serversAnswer(paths: readonly AbsPath[], signal?: AbortSignal): Promise<boolean> {
  if (paths.length === 0) return true;
  const deadline = AbortSignal.timeout(ANSWER_MS);
  try {
    await runTool('stat', ['--file-system', '--format=%T', '--', ...paths], {
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    });
    return true;
  } catch (error) {
    if (signal?.aborted || isStkError(error, 'missing-capability')) throw error;
    return false;
  }
}
