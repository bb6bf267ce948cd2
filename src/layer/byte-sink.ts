import { availableParallelism } from 'node:os';
import type { Digest } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { storageError } from '../host/atomic-write.ts';
import { open, rm, type FileHandle } from '../host/files.ts';
import { openDigester } from '../host/thread-digester.ts';
import { startGzipCompressor, startZstdCompressor } from '../host/tools/compressors.ts';
import type { TarCompression } from '../oci/media-types.ts';
import { fileChunks } from './file-chunks.ts';
import { ToolInput } from './tool-input.ts';

/** Pieces are gathered to this many bytes before they are written to a file. */
const BATCH_BYTES = 1024 * 1024;

/** Takes a stream of bytes and makes a file of it, compressed or not. */
export interface ByteSink {
  /** The piece must not change afterwards. */
  write(piece: Uint8Array): Promise<void>;
  /** Ends the stream, syncs the file and tells what is in it. `written` is the digest of what was written. */
  finish(written: Digest): Promise<{ readonly digest: Digest; readonly sizeBytes: number }>;
  /** Gives up: nothing is left of the file. */
  abandon(): Promise<void>;
}

/** @param output created here; a file that is there is replaced */
export async function openSink(output: AbsPath, compression: TarCompression, signal?: AbortSignal): Promise<ByteSink> {
  const file = await open(output, 'w+');
  const abandon = async () => {
    await file.close();
    await rm(output, { force: true });
  };
  try {
    const target = { file, output, abandon };
    return compression === 'none' ? plainSink(target) : await toolSink(target, compression, signal);
  } catch (error) {
    await abandon();
    throw error;
  }
}

interface SinkTarget {
  readonly file: FileHandle;
  readonly output: AbsPath;
  /** Closes and removes the file. */
  readonly abandon: () => Promise<void>;
}

function plainSink({ file, output, abandon }: SinkTarget): ByteSink {
  let sizeBytes = 0;
  let pieces: Uint8Array[] = [];
  let pieceBytes = 0;
  const flush = async () => {
    for (const batch of batches(pieces)) {
      let { bytesWritten } = await file.writev(batch).catch((error: unknown) => {
        throw storageError(error, output);
      });
      for (const piece of batch) {
        const written = Math.min(bytesWritten, piece.byteLength);
        bytesWritten -= written;
        if (written < piece.byteLength) await file.writeFile(piece.subarray(written));
      }
    }
    [pieces, pieceBytes] = [[], 0];
  };
  return {
    async write(piece) {
      pieces.push(piece);
      pieceBytes += piece.byteLength;
      sizeBytes += piece.byteLength;
      if (pieceBytes >= BATCH_BYTES) await flush();
    },
    async finish(written) {
      await flush();
      await file.sync();
      await file.close();
      return { sizeBytes, digest: written };
    },
    abandon,
  };
}

/** writev(2) takes at most IOV_MAX pieces at once. */
function* batches(pieces: readonly Uint8Array[]): Generator<Uint8Array[]> {
  for (let at = 0; at < pieces.length; at += 1024) yield pieces.slice(at, at + 1024);
}

async function toolSink(
  { file, output, abandon }: SinkTarget,
  compression: 'gzip' | 'zstd',
  signal: AbortSignal | undefined,
): Promise<ByteSink> {
  const tool =
    compression === 'gzip'
      ? await startGzipCompressor(file.fd, availableParallelism(), signal)
      : await startZstdCompressor(file.fd, signal);
  const input = new ToolInput(tool);
  return {
    async write(piece) {
      if (input.push(piece)) await input.flush();
    },
    async finish() {
      await input.finish();
      const { size } = await file.stat();
      const digester = openDigester(size);
      try {
        for await (const chunk of fileChunks(file, size, signal)) await digester.update(chunk);
        await file.sync().catch((error: unknown) => {
          throw storageError(error, output);
        });
        await file.close();
        return { digest: await digester.finish(), sizeBytes: size };
      } finally {
        digester.abandon();
      }
    },
    async abandon() {
      await input.abandon();
      await abandon();
    },
  };
}
