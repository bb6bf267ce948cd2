import type { AbsPath } from '../core/paths.ts';
import { filesystemsAnswer } from '../host/filesystem-answers.ts';

/** How long a FUSE server may take to answer before it counts as dead. */
const ANSWER_MS = 5000;

/** Whether the servers of the filesystems at all of these paths answer; see `filesystemsAnswer`. */
export async function serversAnswer(paths: readonly AbsPath[], signal?: AbortSignal): Promise<boolean> {
  return filesystemsAnswer(paths, { timeoutMs: ANSWER_MS, signal });
}
