import type { AbsPath } from '../../core/paths.ts';
import { StkError } from '../../core/errors.ts';
import { startTool } from '../exec.ts';
import { INHERITED_OUTPUT, type OutputFile } from '../output-file.ts';

/** Compression of a squashfs image, in the terms that every squashfs writer shares. */
export interface SquashfsCompression {
  readonly compressor: 'zstd' | 'gzip' | 'xz' | 'lz4';
  /** Where the compressor has levels. */
  readonly level?: number;
  readonly blockSizeBytes: number;
}

export interface MksquashfsOptions extends SquashfsCompression {
  readonly processors: number;
  readonly memoryBytes: number;
  /** Seconds since the Unix epoch: creation time of the filesystem; newer times of files are set to it. */
  readonly epochSeconds?: number;
  /** Other owners and groups for files with some. No new one may be an old one of another. */
  readonly owners?: readonly OwnerChange[];
  readonly signal?: AbortSignal | undefined;
}

export interface OwnerChange {
  readonly of: 'uid' | 'gid';
  readonly from: number;
  readonly to: number;
}

export interface MksquashfsResult {
  /** Inodes, the root directory's aside: the names of a hard link count once. */
  readonly entries: number;
  /** Paths of sockets that were left out, the first few. */
  readonly sockets: readonly string[];
}

const MAX_SOCKETS_NAMED = 20;

/**
 * Writes a directory's content as a squashfs image. The same tree gives the same bytes: mksquashfs sorts names, and
 * without an epoch the creation time is 0. Sockets are left out, since they mean nothing without their process.
 */
export async function mksquashfs(
  source: AbsPath,
  output: OutputFile,
  options: MksquashfsOptions,
): Promise<MksquashfsResult> {
  const { epochSeconds, owners = [] } = options;
  const args = [
    source,
    INHERITED_OUTPUT,
    ...['-noappend', '-no-progress', '-no-recovery', '-exit-on-error', '-no-exports'],
    ...['-comp', options.compressor],
    ...(options.level === undefined ? [] : ['-Xcompression-level', String(options.level)]),
    ...['-b', String(options.blockSizeBytes)],
    ...['-processors', String(options.processors)],
    ...['-mem', `${Math.ceil(options.memoryBytes / (1024 * 1024))}M`],
    ...['-true-action', 'exclude@type(s)'],
    ...owners.flatMap(({ of, from, to }) => ['-action', `${of}(${to})@${of}(${from})`]),
    ...(epochSeconds === undefined ? ['-mkfs-time', '0'] : []),
  ];
  const env = epochSeconds === undefined ? {} : { SOURCE_DATE_EPOCH: String(epochSeconds) };
  const tool = await startTool('mksquashfs', args, {
    env,
    stdout: 'pipe',
    inheritFds: [output.file.fd],
    signal: options.signal,
  });
  // It is awaited once the output has ended; a failure before that must not count as unhandled.
  tool.done.catch(() => {});
  const sockets: string[] = [];
  let entries: number | undefined;
  let rest = '';
  for await (const chunk of tool.stdout as AsyncIterable<Buffer>) {
    const lines = (rest + chunk.toString('utf8')).split('\n');
    rest = lines.pop()!.slice(-4096);
    for (const line of lines) {
      const excluded = /^\/(.*)=exclude@type\(s\)=True$/.exec(line)?.[1];
      if (excluded !== undefined && sockets.length < MAX_SOCKETS_NAMED) sockets.push(excluded);
      const count = /^Number of inodes (\d+)/.exec(line)?.[1];
      if (count !== undefined) entries = Number(count) - 1;
    }
  }
  await tool.done;
  if (entries === undefined) throw new StkError('tool-failed', 'mksquashfs did not say how much it wrote');
  return { entries, sockets };
}
