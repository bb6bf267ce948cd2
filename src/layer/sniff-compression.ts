import type { TarCompression } from '../oci/media-types.ts';
import { StkError } from '../core/errors.ts';

const UNKNOWN_HINT = 'stk reads plain, gzip and zstd tars';

/** Beyond any name that compressors write first, and all of a tar header (POSIX pax, "ustar Interchange Format"). */
const HEADER_BYTES = 512;
const CHECKSUM = { start: 148, end: 156 } as const;

/**
 * Tells from its first bytes how a tar file is compressed (RFC 1952, RFC 8878), whatever it is called. One that begins with
 * the header of a tar is none of these, even if its first name begins like a compressed file. Throws `unsupported` for xz
 * and bzip2.
 */
export async function sniffCompression(read: () => AsyncIterable<Uint8Array>): Promise<TarCompression> {
  const first = await firstBytes(read);
  if (hasChecksum(first)) return 'none';
  const magic = first.subarray(0, 6).toString('hex');
  if (magic.startsWith('1f8b')) return 'gzip';
  if (magic.startsWith('28b52ffd')) return 'zstd';
  if (magic.startsWith('fd377a585a00'))
    throw new StkError('unsupported', 'the tar is compressed with xz', { hint: UNKNOWN_HINT });
  if (magic.startsWith('425a68'))
    throw new StkError('unsupported', 'the tar is compressed with bzip2', { hint: UNKNOWN_HINT });
  return 'none';
}

async function firstBytes(read: () => AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of read()) {
    chunks.push(chunk.subarray(0, HEADER_BYTES - length));
    length += Math.min(chunk.byteLength, HEADER_BYTES - length);
    if (length === HEADER_BYTES) break;
  }
  return Buffer.concat(chunks);
}

/** The sum of a header's bytes, its own field counted as blanks, stands in that field as octal digits. */
function hasChecksum(block: Buffer): boolean {
  if (block.length < HEADER_BYTES) return false;
  const digits = /^[ \0]*([0-7]+)/.exec(block.toString('latin1', CHECKSUM.start, CHECKSUM.end))?.[1];
  let sum = 0;
  for (const [at, byte] of block.entries()) sum += at >= CHECKSUM.start && at < CHECKSUM.end ? 0x20 : byte;
  return digits !== undefined && Number.parseInt(digits, 8) === sum;
}
