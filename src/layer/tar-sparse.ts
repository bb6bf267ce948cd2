import type { SparseSegment } from './tar-entry.ts';
import { fieldNumber } from './tar-header.ts';
import { tarError } from './tar-error.ts';
import type { PaxRecords } from './tar-pax.ts';

/** Of a number in a sparse map: what a safe integer has. */
export const MAX_NUMBER_DIGITS = 16;
/** More stretches than this in one file are taken for an attack. */
export const MAX_SPARSE_SEGMENTS = 1 << 20;

/** Checks a map of stretches: in order, apart, within the file, and as many bytes as are stored. */
export function checkSparseMap(segments: readonly SparseSegment[], sizeBytes: number, stored: number): void {
  let end = 0;
  let total = 0;
  for (const { offset, length } of segments) {
    if (offset < end || length > sizeBytes - offset) throw tarError('a sparse file has an impossible map');
    end = offset + length;
    total += length;
  }
  if (total !== stored) throw tarError('a sparse file stores another number of bytes than its map says');
}

/** Old GNU format: up to four pairs at 386 of the header, or 21 at 0 of an extension block; pairs of zeros are unused. */
export function oldSparsePairs(block: Buffer, start: number, count: number): SparseSegment[] {
  const segments: SparseSegment[] = [];
  for (let index = 0; index < count; index++) {
    const at = start + index * 24;
    if (block[at] === 0) break;
    segments.push({ offset: natural(fieldNumber(block, at, 12)), length: natural(fieldNumber(block, at + 12, 12)) });
  }
  return segments;
}

/** What the pax records say of a sparse file (GNU tar, formats 0.0, 0.1 and 1.0). */
export interface PaxSparse {
  readonly path: string | undefined;
  readonly sizeBytes: number;
  /** Absent in format 1.0, where the map stands before the data. */
  readonly segments: readonly SparseSegment[] | undefined;
}

export function paxSparse(records: PaxRecords): PaxSparse | undefined {
  const last = new Map<string, string>();
  const listed: number[] = [];
  for (const [key, value] of records) {
    if (!key.startsWith('GNU.sparse.')) continue;
    const text = value.toString('latin1');
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') {
      if ((key === 'GNU.sparse.offset') !== (listed.length % 2 === 0)) {
        throw tarError('a sparse file has an impossible map');
      }
      listed.push(decimal(text));
    } else last.set(key, text);
  }
  const size = last.get('GNU.sparse.realsize') ?? last.get('GNU.sparse.size');
  if (size === undefined) return undefined;
  const map = last.get('GNU.sparse.map');
  const inBody = last.get('GNU.sparse.major') === '1';
  const numbers = inBody ? undefined : map === undefined ? listed : map === '' ? [] : map.split(',').map(decimal);
  return {
    path: last.get('GNU.sparse.name'),
    sizeBytes: decimal(size),
    segments: numbers && pairs(numbers),
  };
}

/** Groups offsets and lengths. */
export function pairs(numbers: readonly number[]): SparseSegment[] {
  if (numbers.length % 2 !== 0 || numbers.length > 2 * MAX_SPARSE_SEGMENTS) {
    throw tarError('a sparse file has an impossible map');
  }
  return Array.from({ length: numbers.length / 2 }, (_, i) => ({
    offset: numbers[2 * i]!,
    length: numbers[2 * i + 1]!,
  }));
}

export function decimal(text: string): number {
  return natural(text.length <= MAX_NUMBER_DIGITS && /^\d+$/.test(text) ? Number(text) : Number.NaN);
}

function natural(value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw tarError('a sparse file has a malformed number');
}
