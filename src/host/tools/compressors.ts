import { startTool, type RunningTool } from '../exec.ts';

/** Memory that decompressing one stream may take: the window that every zstd decoder supports by default is 8 MiB. */
const ZSTD_WINDOW = '128MB';

/** Starts `zstd -dc` on its stdin; frames that want a window of more than 128 MiB make it fail. */
export async function startZstdDecompressor(signal?: AbortSignal): Promise<RunningTool> {
  const args = ['--decompress', '--stdout', '--quiet', '--no-progress', `--memory=${ZSTD_WINDOW}`];
  return startTool('zstd', args, { stdin: 'pipe', stdout: 'pipe', signal });
}

/**
 * Starts `zstd -c` on its stdin, writing to an open file; one thread, so that the same bytes come out on every machine
 * with the same zstd.
 */
export async function startZstdCompressor(outputFd: number, signal?: AbortSignal): Promise<RunningTool> {
  const args = ['--stdout', '--quiet', '--no-progress', '--single-thread', '-3'];
  return startTool('zstd', args, { stdin: 'pipe', stdout: outputFd, signal });
}

/**
 * Starts `pigz` on its stdin, writing to an open file. The bytes depend on the level and the block size alone, not on the
 * count of threads; no name and no time are written.
 */
export async function startGzipCompressor(
  outputFd: number,
  threads: number,
  signal?: AbortSignal,
): Promise<RunningTool> {
  const args = ['--stdout', '--no-name', '--no-time', '-6', '--blocksize', '128', '--processes', String(threads)];
  return startTool('pigz', args, { stdin: 'pipe', stdout: outputFd, signal });
}
