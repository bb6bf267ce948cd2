import type { AbsPath } from '../../core/paths.ts';
import { runTool } from '../exec.ts';

/** Unmounts a FUSE mount of the caller's own without privileges; `lazy` detaches it although it is in use. */
export async function fuseUnmount(
  target: AbsPath,
  options: { readonly lazy?: boolean; readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  await runTool('fusermount3', ['-u', ...(options.lazy ? ['-z'] : []), '--', target], { signal: options.signal });
}
