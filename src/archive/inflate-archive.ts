import type { BlobReader } from '../core/blob-reader.ts';
import { StkError, isStkError, throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { storageError } from '../host/atomic-write.ts';
import { decompressStream } from '../layer/decompress-stream.ts';
import { sniffCompression } from '../layer/sniff-compression.ts';
import { unnamedCopy } from './unnamed-copy.ts';

const PIECE_BYTES = 1024 * 1024;

/**
 * The bytes of an archive that may be compressed: as a file without a name where it is, since an archive is read out of
 * order, so that nothing is left behind however this process ends. `undefined` for one that is not compressed. Throws
 * `unsupported` for xz and bzip2, `invalid-input` for a broken stream, `storage` for a full disk.
 * @param scratch a directory with room for all of it; made if it is not there
 */
export async function inflateArchive(
  archive: BlobReader,
  scratch: AbsPath,
  signal?: AbortSignal,
): Promise<BlobReader | undefined> {
  const compression = await sniffCompression(() => pieces(archive, signal));
  if (compression === 'none') return undefined;
  try {
    return await unnamedCopy(decompressStream(pieces(archive, signal), compression, signal), archive.name, scratch);
  } catch (cause) {
    if (!isStkError(cause, 'invalid-input')) throw storageError(cause, scratch);
    throw new StkError('invalid-input', `${archive.name} is no intact ${compression} file`, {
      cause,
      hint: 'it was damaged or cut short: save the image again',
      facts: { path: archive.name },
    });
  }
}

async function* pieces(archive: BlobReader, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void> {
  for (let done = 0; done < archive.sizeBytes;) {
    throwIfAborted(signal);
    const piece = await archive.readAt(done, Math.min(PIECE_BYTES, archive.sizeBytes - done), signal);
    done += piece.byteLength;
    yield piece;
  }
}
