import { CorruptBlock } from './malformed.ts';

/**
 * A decoding table of finite state entropy coding (RFC 8878, 4.1). One row per state, packed for a single load:
 * `next state's base << 16 | bits to read << 8 | symbol`.
 */
export interface FseTable {
  readonly accuracyLog: number;
  readonly rows: Uint32Array;
}

/** A table and the offset of the first byte after its description. */
export interface ParsedTable<T> {
  readonly table: T;
  readonly next: number;
}

/** Offsets of bytes: from `start` to `end`, exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Zero bytes that stand before and after the input, so that a bit load near its ends needs no check of its own. */
export const PADDING = 16;

/** A frame's bytes between two paddings; positions count from the start of the first padding. */
export interface PaddedBytes {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where the frame ends. */
  readonly end: number;
}

/**
 * Absolute position of the end mark of a bitstream that is read backwards (RFC 8878, 4.1.1): the number of bits before
 * the highest set bit of its last byte, counted from the start of `bytes`.
 */
export function bitstreamEnd(bytes: Uint8Array, start: number, end: number): number {
  const last = end > start && end <= bytes.length ? bytes[end - 1]! : 0;
  if (last === 0) throw new CorruptBlock('zstd bitstream has no end mark');
  return (end - 1) * 8 + (31 - Math.clz32(last));
}

/** Up to 25 bits from an absolute bit position, which may lie less than a padding outside the frame. */
export function bitsAt(view: DataView, position: number, count: number): number {
  return (view.getInt32(position >> 3, true) >>> (position & 7)) & ((1 << count) - 1);
}

/** Builds the table of a normalised distribution; -1 stands for "less than one" (RFC 8878, 4.1.1). */
export function buildFseTable(counts: Int16Array, symbols: number, accuracyLog: number): FseTable {
  const size = 1 << accuracyLog;
  const rows = new Uint32Array(size);
  const next = new Uint16Array(symbols);
  let high = size;
  for (let s = 0; s < symbols; s++) {
    if (counts[s] === -1) {
      rows[--high] = s;
      next[s] = 1;
    }
  }
  const step = (size >> 1) + (size >> 3) + 3;
  let position = 0;
  for (let s = 0; s < symbols; s++) {
    const count = counts[s]!;
    if (count <= 0) continue;
    next[s] = count;
    for (let i = 0; i < count; i++) {
      rows[position] = s;
      do position = (position + step) & (size - 1);
      while (position >= high);
    }
  }
  for (let state = 0; state < size; state++) {
    const symbol = rows[state]!;
    const occurrence = next[symbol]!++;
    const width = accuracyLog - (31 - Math.clz32(occurrence));
    rows[state] = (((occurrence << width) - size) << 16) | (width << 8) | symbol;
  }
  return { accuracyLog, rows };
}

/** The table whose every state gives one symbol and consumes nothing. */
export function singleSymbolTable(symbol: number): FseTable {
  return { accuracyLog: 0, rows: Uint32Array.of(symbol) };
}

/** Reads a table description (RFC 8878, 4.1.1) that must lie before `end`. */
export function readFseTable(
  { bytes, view }: PaddedBytes,
  start: number,
  end: number,
  limits: { readonly maxSymbols: number; readonly maxLog: number },
): ParsedTable<FseTable> {
  if (start >= end) throw new CorruptBlock('zstd table description is cut off');
  const accuracyLog = (bytes[start]! & 15) + 5;
  if (accuracyLog > limits.maxLog) throw new CorruptBlock('zstd table is larger than allowed');
  const counts = new Int16Array(limits.maxSymbols);
  const endBit = end * 8;
  let position = start * 8 + 4;
  let remaining = 1 << accuracyLog;
  let symbols = 0;
  while (remaining > 0) {
    if (symbols >= limits.maxSymbols || position >= endBit) throw new CorruptBlock('zstd table does not add up');
    const width = 32 - Math.clz32(remaining + 1);
    const half = (1 << (width - 1)) - 1;
    const threshold = (1 << width) - 1 - (remaining + 1);
    let value = bitsAt(view, position, width);
    position += width;
    if ((value & half) < threshold) {
      value &= half;
      position--;
    } else if (value > half) {
      value -= threshold;
    }
    const count = value - 1;
    remaining -= count < 0 ? 1 : count;
    counts[symbols++] = count;
    if (count !== 0) continue;
    let repeat: number;
    do {
      repeat = bitsAt(view, position, 2);
      position += 2;
      symbols += repeat;
    } while (repeat === 3 && symbols <= limits.maxSymbols);
  }
  if (remaining < 0 || symbols > limits.maxSymbols || position > endBit) {
    throw new CorruptBlock('zstd table does not add up');
  }
  return { table: buildFseTable(counts, symbols, accuracyLog), next: (position + 7) >> 3 };
}
