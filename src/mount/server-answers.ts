import type { AbsPath } from '../core/paths.ts';
import { areDisconnected, filesystemsAnswer } from '../host/filesystem-answers.ts';

/** How long a FUSE server may take to answer before it counts as dead. */
const ANSWER_MS = 5000;

/** Whether the servers of the filesystems at all of these paths answer; see `filesystemsAnswer`. */
export async function serversAnswer(paths: readonly AbsPath[], signal?: AbortSignal): Promise<boolean> {
  return filesystemsAnswer(paths, { timeoutMs: ANSWER_MS, signal });
}

/**
 * As `serversAnswer`, for mounts above layers that are fetched as they are read: one that waits for a registry does not
 * answer, and lives. Servers of stk's own answer also then.
 *
 * @param own directories of servers of stk's own
 */
export async function lazyServersStand(
  paths: readonly AbsPath[],
  own: readonly AbsPath[],
  signal?: AbortSignal,
): Promise<boolean> {
  if (!(await serversAnswer(own, signal))) return false;
  if (await serversAnswer(paths, signal)) return true;
  return !(await areDisconnected(paths, { timeoutMs: ANSWER_MS, signal }));
}
