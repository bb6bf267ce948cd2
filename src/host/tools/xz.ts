import { runTool } from '../exec.ts';

/** Memory that a decoder may take; squashfs dictionaries are at most as large as a block, 1 MiB. */
const MEMORY_LIMIT = '64MiB';

/**
 * Decompresses one `.lzma` stream, or any number of concatenated `.xz` streams, in one process. Output beyond the limit of
 * `runTool` ends it. Throws what `runTool` throws; `tool-failed` where the data are corrupt.
 */
export async function xzDecompress(
  data: Uint8Array,
  format: 'xz' | 'lzma',
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const args = ['--decompress', '--stdout', '--quiet', `--format=${format}`, `--memlimit-decompress=${MEMORY_LIMIT}`];
  const { stdout } = await runTool('xz', args, { input: data, signal });
  return stdout;
}
