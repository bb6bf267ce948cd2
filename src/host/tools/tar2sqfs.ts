import { StkError, isStkError } from '../../core/errors.ts';
import { startTool, type RunningTool } from '../exec.ts';
import { INHERITED_OUTPUT, type OutputFile } from '../output-file.ts';
import type { SquashfsCompression } from './mksquashfs.ts';

export interface Tar2sqfsOptions extends SquashfsCompression {
  readonly jobs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Starts `tar2sqfs` (squashfs-tools-ng), which writes the tar archive on its stdin as a squashfs image of the same bytes
 * for the same archive. It takes each path once, directories excepted, wants hard links' targets somewhere in the
 * archive, and gives directories that are not in it mode 0755, owner 0 and time 0. It guesses a compression from the
 * first bytes of the archive.
 */
export async function startTar2sqfs(output: OutputFile, options: Tar2sqfsOptions): Promise<RunningTool> {
  const args = [
    ...['--quiet', '--no-skip'],
    ...['--compressor', options.compressor],
    ...(options.level === undefined ? [] : ['--comp-extra', `level=${options.level}`]),
    ...['--block-size', String(options.blockSizeBytes)],
    ...['--num-jobs', String(options.jobs)],
    ...['--defaults', 'uid=0,gid=0,mode=0755,mtime=0'],
    // The file is there already.
    '--force',
    INHERITED_OUTPUT,
  ];
  const { signal } = options;
  const inheritFds = [output.file.fd];
  const tool = await startTool('tar2sqfs', args, { stdin: 'pipe', stdout: 'ignore', inheritFds, signal });
  const done = tool.done.catch((error: unknown) => {
    throw outputError(error, output);
  });
  done.catch(() => {});
  return { ...tool, done };
}

/** Its input is a pipe, so what it calls an I/O error is that of its output: a disk that is full or fails. */
function outputError(error: unknown, { path }: OutputFile): unknown {
  if (!isStkError(error, 'tool-failed') || !error.message.includes('I/O error')) return error;
  return new StkError('storage', `cannot write ${path}: the disk is full or fails`, {
    cause: error,
    hint: 'free some disk space and try again; nothing was lost',
    facts: { ...error.facts, path },
  });
}
