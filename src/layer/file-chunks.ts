import { StkError, throwIfAborted } from '../core/errors.ts';
import type { FileHandle } from '../host/files.ts';

const CHUNK_BYTES = 2 * 1024 * 1024;

/**
 * The first bytes of a file in large chunks, the next being read while one is used: a chunk is valid until the next one
 * is asked for. Chunks but the last are a multiple of 4 KiB. A file that is shorter is `integrity`.
 */
export async function* fileChunks(
  file: FileHandle,
  sizeBytes: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer, void> {
  const buffers = [Buffer.allocUnsafeSlow(CHUNK_BYTES), Buffer.allocUnsafeSlow(CHUNK_BYTES)] as const;
  const read = async (index: number): Promise<Buffer> => {
    const start = index * CHUNK_BYTES;
    const chunk = buffers[index % 2 === 0 ? 0 : 1].subarray(0, Math.min(CHUNK_BYTES, sizeBytes - start));
    for (let done = 0; done < chunk.length;) {
      const { bytesRead } = await file.read(chunk, done, chunk.length - done, start + done);
      if (bytesRead === 0) throw new StkError('integrity', 'a file shrank while it was read');
      done += bytesRead;
    }
    return chunk;
  };
  const count = Math.ceil(sizeBytes / CHUNK_BYTES);
  let next = read(0);
  for (let index = 0; index < count; index++) {
    throwIfAborted(signal);
    const chunk = await next;
    // Handled when it is awaited; until then a failure must not count as unhandled.
    if (index + 1 < count) (next = read(index + 1)).catch(() => {});
    yield chunk;
  }
}
