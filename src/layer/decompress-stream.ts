import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { StkError, errnoOf, interrupted, isStkError } from '../core/errors.ts';
import { startZstdDecompressor } from '../host/tools/compressors.ts';
import type { TarCompression } from '../oci/media-types.ts';
import { tarError } from './tar-error.ts';
import { ToolInput } from './tool-input.ts';

/** Large pieces cost fewer turns of the event loop; twice this much is in flight. */
const CHUNK_BYTES = 256 * 1024;

/**
 * Decompresses a layer as a stream. gzip is inflated by the zlib of this process, in a thread of its pool, which takes
 * half the processor time that `gzip -dc` does; zstd by its tool, its window bounded. Bytes that cannot be decompressed
 * are `invalid-input`; failures of the source pass through.
 */
export function decompressStream(
  source: AsyncIterable<Uint8Array>,
  compression: TarCompression,
  signal?: AbortSignal,
): AsyncIterable<Uint8Array> {
  if (compression === 'none') return source;
  return compression === 'gzip' ? gunzip(source, signal) : unzstd(source, signal);
}

async function* gunzip(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void> {
  const inflater = createGunzip({ chunkSize: CHUNK_BYTES });
  const input = Readable.from(source, { objectMode: false, highWaterMark: CHUNK_BYTES });
  pipeline(input, inflater, { ...(signal ? { signal } : {}) }).catch(() => {});
  try {
    yield* inflater as AsyncIterable<Buffer>;
  } catch (error) {
    if (signal?.aborted) throw interrupted(signal);
    if (isStkError(error) || !errnoOf(error)?.startsWith('Z_')) throw error;
    throw new StkError('invalid-input', 'a layer is no intact gzip stream', { cause: error });
  } finally {
    input.destroy();
    inflater.destroy();
  }
}

async function* unzstd(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void> {
  const tool = await startZstdDecompressor(signal);
  const input = new ToolInput(tool);
  const feeding = feed(source, input);
  feeding.catch(() => {});
  try {
    yield* tool.stdout as AsyncIterable<Buffer>;
    await feeding;
  } catch (error) {
    if (isStkError(error, 'tool-failed')) throw tarError(`it is no intact zstd stream (${error.message})`);
    throw error;
  } finally {
    await input.abandon();
    await feeding.catch(() => {});
  }
}

async function feed(source: AsyncIterable<Uint8Array>, input: ToolInput): Promise<void> {
  try {
    for await (const chunk of source) if (input.push(chunk)) await input.flush();
    await input.finish();
  } catch (error) {
    await input.abandon();
    throw error;
  }
}
