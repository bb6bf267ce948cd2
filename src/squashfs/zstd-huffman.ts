import { CorruptBlock } from './malformed.ts';
import { bitsAt, bitstreamEnd, readFseTable, type PaddedBytes, type ParsedTable, type Span } from './zstd-entropy.ts';

/** A prefix code as a flat table: index by the next `maxBits` bits, get `symbol << 8 | length`. */
export interface HuffmanTable {
  readonly maxBits: number;
  readonly entries: Uint16Array;
}

const MAX_BITS = 11;

/** Reads a Huffman tree description (RFC 8878, 4.2.1). */
export function readHuffmanTable(input: PaddedBytes, start: number, end: number): ParsedTable<HuffmanTable> {
  const { bytes } = input;
  if (start >= end) throw new CorruptBlock('zstd Huffman tree is cut off');
  const header = bytes[start]!;
  const weights = new Uint8Array(256);
  let count: number;
  let next: number;
  if (header >= 128) {
    count = header - 127;
    next = start + 1 + ((count + 1) >> 1);
    for (let i = 0; i < count; i++) {
      const pair = bytes[start + 1 + (i >> 1)] ?? 0;
      weights[i] = i % 2 === 0 ? pair >> 4 : pair & 15;
    }
  } else {
    next = start + 1 + header;
    if (next > end) throw new CorruptBlock('zstd Huffman tree is cut off');
    count = readCodedWeights(input, start + 1, next, weights);
  }
  if (next > end) throw new CorruptBlock('zstd Huffman tree is cut off');
  return { table: buildTable(weights, count), next };
}

/** Weights coded with two interleaved states (RFC 8878, 4.2.1.2); returns how many there are. */
function readCodedWeights(input: PaddedBytes, start: number, end: number, weights: Uint8Array): number {
  const { bytes, view } = input;
  const { table, next } = readFseTable(input, start, end, { maxSymbols: MAX_BITS + 2, maxLog: 6 });
  const startBit = next * 8;
  let position = bitstreamEnd(bytes, next, end) - table.accuracyLog;
  let state = bitsAt(view, position, table.accuracyLog);
  position -= table.accuracyLog;
  let other = bitsAt(view, position, table.accuracyLog);
  if (position < startBit) throw new CorruptBlock('zstd Huffman weights are cut off');
  let count = 0;
  for (;;) {
    if (count > 253) throw new CorruptBlock('zstd Huffman tree has too many symbols');
    const row = table.rows[state]!;
    weights[count++] = row & 255;
    const width = (row >>> 8) & 255;
    position -= width;
    if (position < startBit) {
      weights[count++] = table.rows[other]! & 255;
      return count;
    }
    const following = (row >>> 16) + bitsAt(view, position, width);
    state = other;
    other = following;
  }
}

function buildTable(weights: Uint8Array, given: number): HuffmanTable {
  let sum = 0;
  for (let i = 0; i < given; i++) {
    const weight = weights[i]!;
    if (weight > MAX_BITS) throw new CorruptBlock('zstd Huffman weight is out of range');
    if (weight > 0) sum += 1 << (weight - 1);
  }
  // The last weight is not written: it fills the code up to a power of two.
  const maxBits = 32 - Math.clz32(sum);
  const rest = (1 << maxBits) - sum;
  if (sum === 0 || maxBits > MAX_BITS || given > 255 || (rest & (rest - 1)) !== 0) {
    throw new CorruptBlock('zstd Huffman weights do not add up');
  }
  weights[given] = 32 - Math.clz32(rest);
  const entries = new Uint16Array(1 << maxBits);
  let at = 0;
  for (let weight = 1; weight <= maxBits; weight++) {
    const length = maxBits + 1 - weight;
    for (let symbol = 0; symbol <= given; symbol++) {
      if (weights[symbol] !== weight) continue;
      const span = 1 << (weight - 1);
      entries.fill((symbol << 8) | length, at, at + span);
      at += span;
    }
  }
  return { maxBits, entries };
}

/** Fills `out` with the symbols of one stream, which must be used up to its last bit (RFC 8878, 4.2.2). */
export function decodeHuffmanStream(
  { bytes, view }: PaddedBytes,
  stream: Span,
  table: HuffmanTable,
  out: Uint8Array,
): void {
  const { entries, maxBits } = table;
  const mask = (1 << maxBits) - 1;
  const startBit = stream.start * 8;
  let position = bitstreamEnd(bytes, stream.start, stream.end);
  const to = out.length;
  let at = 0;
  // Two symbols of at most 11 bits fit the 25 bits that one unaligned load gives.
  for (const pairs = to - 1; at < pairs && position >= startBit; at += 2) {
    const low = position - 2 * maxBits;
    const window = view.getInt32(low >> 3, true) >>> (low & 7);
    const first = entries[(window >>> maxBits) & mask]!;
    const length = first & 255;
    const second = entries[(window >>> (maxBits - length)) & mask]!;
    out[at] = first >> 8;
    out[at + 1] = second >> 8;
    position -= length + (second & 255);
  }
  for (; at < to && position >= startBit; at++) {
    const entry = entries[bitsAt(view, position - maxBits, maxBits)]!;
    out[at] = entry >> 8;
    position -= entry & 255;
  }
  if (at !== to || position !== startBit) throw new CorruptBlock('zstd literals do not end where they should');
}
