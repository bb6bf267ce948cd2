import type { AbsPath } from '../../core/paths.ts';
import { startTool, type RunningTool } from '../exec.ts';
import type { SquashfsCompression } from './mksquashfs.ts';

export interface Tar2sqfsOptions extends SquashfsCompression {
  readonly jobs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Starts `tar2sqfs` (squashfs-tools-ng), which writes the tar archive on its stdin as a squashfs image of the same bytes
 * for the same archive. It takes each path once, directories excepted, wants hard links' targets somewhere in the
 * archive, and gives directories that are not in it mode 0755, owner 0 and time 0. It guesses a compression from the
 * first bytes of the archive. `output` must not exist.
 */
export async function startTar2sqfs(output: AbsPath, options: Tar2sqfsOptions): Promise<RunningTool> {
  const args = [
    ...['--quiet', '--no-skip'],
    ...['--compressor', options.compressor],
    ...(options.level === undefined ? [] : ['--comp-extra', `level=${options.level}`]),
    ...['--block-size', String(options.blockSizeBytes)],
    ...['--num-jobs', String(options.jobs)],
    ...['--defaults', 'uid=0,gid=0,mode=0755,mtime=0'],
    output,
  ];
  return startTool('tar2sqfs', args, { stdin: 'pipe', stdout: 'ignore', signal: options.signal });
}
