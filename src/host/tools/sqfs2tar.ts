import type { AbsPath } from '../../core/paths.ts';
import { startTool, type RunningTool } from '../exec.ts';

/**
 * Starts `sqfs2tar` (squashfs-tools-ng), which writes a squashfs image as an uncompressed tar archive to its stdout, the
 * root directory included; it fails rather than leave out what tar cannot say.
 */
export async function startSqfs2tar(image: AbsPath, signal?: AbortSignal): Promise<RunningTool> {
  return startTool('sqfs2tar', ['--no-skip', '--root-becomes', '.', image], { stdout: 'pipe', signal });
}
