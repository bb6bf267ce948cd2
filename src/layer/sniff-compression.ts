import type { TarCompression } from '../oci/media-types.ts';
import { StkError } from '../core/errors.ts';

const UNKNOWN_HINT = 'stk reads plain, gzip and zstd tars';

/** Tells from its first bytes how a tar file is compressed (RFC 1952, RFC 8878). */
export async function sniffCompression(read: () => AsyncIterable<Uint8Array>): Promise<TarCompression> {
  for await (const chunk of read()) {
    const magic = Buffer.from(chunk.subarray(0, 6)).toString('hex');
    if (magic.startsWith('1f8b')) return 'gzip';
    if (magic.startsWith('28b52ffd')) return 'zstd';
    if (magic.startsWith('fd377a585a00'))
      throw new StkError('unsupported', 'the tar is compressed with xz', { hint: UNKNOWN_HINT });
    if (magic.startsWith('425a68'))
      throw new StkError('unsupported', 'the tar is compressed with bzip2', { hint: UNKNOWN_HINT });
    break;
  }
  return 'none';
}
