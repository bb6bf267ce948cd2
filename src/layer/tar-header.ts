import { TAR_BLOCK_BYTES } from './tar-entry.ts';
import { tarError } from './tar-error.ts';

/** The fields of one 512-byte header block (POSIX.1-1988 ustar, and the GNU variant of it), names without `prefix` rules. */
export interface TarHeader {
  /** `'0'`, `'5'`, `'x'`, …; a NUL byte reads as `'0'`. */
  readonly typeFlag: string;
  readonly path: string;
  readonly linkPath: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeSeconds: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

/** Whether a block is all zeros: two of them end an archive. */
export function isZeroBlock(block: Buffer): boolean {
  return block.equals(ZERO_BLOCK);
}

const ZERO_BLOCK = Buffer.alloc(TAR_BLOCK_BYTES);

/** Parses a header block; a wrong checksum or a malformed number is `invalid-input`. */
export function parseTarHeader(block: Buffer): TarHeader {
  checkSum(block);
  const posix = block.toString('latin1', 257, 263) === 'ustar\0';
  const known = posix || block.toString('latin1', 257, 265) === 'ustar  \0';
  const prefix = posix ? fieldText(block, 345, 155) : '';
  const name = fieldText(block, 0, 100);
  const flag = block[156]!;
  return {
    typeFlag: flag === 0 ? '0' : String.fromCharCode(flag),
    path: prefix === '' ? name : `${prefix}/${name}`,
    linkPath: fieldText(block, 157, 100),
    mode: fieldNumber(block, 100, 8) & 0o7777,
    uid: fieldNumber(block, 108, 8),
    gid: fieldNumber(block, 116, 8),
    sizeBytes: fieldNumber(block, 124, 12),
    mtimeSeconds: fieldNumber(block, 136, 12),
    deviceMajor: known ? fieldNumber(block, 329, 8) : 0,
    deviceMinor: known ? fieldNumber(block, 337, 8) : 0,
  };
}

function checkSum(block: Buffer): void {
  let unsigned = 8 * 0x20;
  let signed = unsigned;
  for (let at = 0; at < TAR_BLOCK_BYTES; at++) {
    if (at === 148) at = 156;
    const byte = block[at]!;
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  const stated = fieldNumber(block, 148, 8);
  if (stated !== unsigned && stated !== signed) throw tarError('a header has a wrong checksum');
}

/** Bytes up to the first NUL. */
function fieldText(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start);
  return block.toString('latin1', start, end < 0 || end > start + length ? start + length : end);
}

/** A number in octal digits, or in base 256 where the top bit of the first byte is set (GNU, star). */
export function fieldNumber(block: Buffer, start: number, length: number): number {
  const first = block[start]!;
  if ((first & 0x80) !== 0) return base256(block, start, length);
  let at = start;
  const end = start + length;
  while (at < end && (block[at] === 0x20 || block[at] === 0)) at++;
  let value = 0;
  for (; at < end; at++) {
    const byte = block[at]!;
    if (byte === 0x20 || byte === 0) break;
    if (byte < 0x30 || byte > 0x37) throw tarError('a header has a malformed number');
    value = value * 8 + (byte - 0x30);
  }
  return value;
}

function base256(block: Buffer, start: number, length: number): number {
  const negative = (block[start]! & 0x40) !== 0;
  let value = negative ? -1n : 0n;
  for (let at = start; at < start + length; at++) {
    const byte = at === start && !negative ? block[at]! & 0x7f : block[at]!;
    value = (value << 8n) | BigInt(byte);
  }
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw tarError('a header has a number beyond all bounds');
  return number;
}
