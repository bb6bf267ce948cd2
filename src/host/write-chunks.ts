import { throwIfAborted } from '../core/errors.ts';
import type { FileHandle } from './files.ts';

/** Written at once: a network brings bytes in small pieces, and each write costs a turn of the event loop. */
const WRITE_BYTES = 1 << 20;

export interface WriteChunksOptions {
  /** Chunks after this many bytes are neither asked for nor written. */
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
  /** Called with the count of bytes in the file so far. */
  readonly onWritten?: ((doneBytes: number) => void) | undefined;
}

/** Appends chunks to an open file, gathered. Returns how many bytes came; more than `maxBytes` says that there are more. */
export async function writeChunks(
  file: FileHandle,
  chunks: AsyncIterable<Uint8Array>,
  { maxBytes, signal, onWritten }: WriteChunksOptions,
): Promise<number> {
  let sizeBytes = 0;
  let gathered: Uint8Array[] = [];
  let gatheredBytes = 0;
  for await (const chunk of chunks) {
    throwIfAborted(signal);
    sizeBytes += chunk.byteLength;
    if (sizeBytes > maxBytes) break;
    gathered.push(chunk);
    gatheredBytes += chunk.byteLength;
    if (gatheredBytes < WRITE_BYTES && sizeBytes < maxBytes) continue;
    await writeAll(file, gathered, gatheredBytes);
    [gathered, gatheredBytes] = [[], 0];
    onWritten?.(sizeBytes);
  }
  return sizeBytes;
}

async function writeAll(file: FileHandle, pieces: readonly Uint8Array[], wantedBytes: number): Promise<void> {
  const { bytesWritten } = await file.writev(pieces);
  // Unlike `writev`, `writeFile` goes on after a write that was cut short.
  if (bytesWritten < wantedBytes) await file.writeFile(Buffer.concat(pieces).subarray(bytesWritten));
}
