import { CorruptBlock } from './malformed.ts';
import {
  bitsAt,
  bitstreamEnd,
  buildFseTable,
  readFseTable,
  singleSymbolTable,
  type FseTable,
  type PaddedBytes,
  type Span,
} from './zstd-entropy.ts';

/** What one frame has decoded so far, and what its later blocks may refer to. */
export interface FrameOutput {
  readonly out: Uint8Array;
  /** Bytes of `out` that are decoded. */
  length: number;
  tables: SequenceTables | undefined;
  /** The three last distances (RFC 8878, 3.1.1.5). */
  readonly recent: [number, number, number];
}

export interface SequenceTables {
  readonly literal: FseTable;
  readonly offset: FseTable;
  readonly match: FseTable;
}

/** Offset codes above this reach further back than any squashfs block is long. */
const MAX_OFFSET_CODE = 24;

const LITERAL_EXTRA = Uint8Array.from([
  ...Array<number>(16).fill(0),
  ...[1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
]);
const MATCH_EXTRA = Uint8Array.from([
  ...Array<number>(32).fill(0),
  ...[1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
]);
const LITERAL_BASE = baselines(LITERAL_EXTRA, 0);
const MATCH_BASE = baselines(MATCH_EXTRA, 3);

interface CodeKind {
  readonly maxSymbols: number;
  readonly maxLog: number;
  /** The default distribution (RFC 8878, appendix A). */
  readonly standard: FseTable;
}

const LITERAL_LENGTHS: CodeKind = { maxSymbols: 36, maxLog: 9, standard: standard(6, '4 3 2*11 1*3 2*9 3 2 1*5 -1*4') };
const OFFSETS: CodeKind = { maxSymbols: 32, maxLog: 8, standard: standard(5, '1*6 2*3 1*15 -1*5') };
const MATCH_LENGTHS: CodeKind = { maxSymbols: 53, maxLog: 9, standard: standard(6, '1 4 3 2*6 1*37 -1*7') };

/** Where each code's range starts: ranges follow one another without gaps. */
function baselines(extra: Uint8Array, first: number): Int32Array {
  const bases = new Int32Array(extra.length);
  let base = first;
  for (let code = 0; code < extra.length; code++) {
    bases[code] = base;
    base += 1 << extra[code]!;
  }
  return bases;
}

/** A table from a distribution in which `v*n` stands for n times v. */
function standard(accuracyLog: number, distribution: string): FseTable {
  const counts = distribution.split(' ').flatMap(run => {
    const [value, times = '1'] = run.split('*');
    return Array<number>(Number(times)).fill(Number(value));
  });
  return buildFseTable(Int16Array.from(counts), counts.length, accuracyLog);
}

/** Decodes the sequences section of a block (RFC 8878, 3.1.1.3.2) and appends what it produces to the frame. */
export function decodeSequences(
  input: PaddedBytes,
  { start, end }: Span,
  literals: Uint8Array,
  frame: FrameOutput,
): void {
  const { bytes } = input;
  if (start >= end) throw new CorruptBlock('zstd block has no sequences section');
  let at = start;
  let count = bytes[at++]!;
  if (count === 255) {
    count = bytes[at]! + (bytes[at + 1]! << 8) + 0x7f00;
    at += 2;
  } else if (count >= 128) {
    count = ((count - 128) << 8) + bytes[at++]!;
  }
  if (count === 0) {
    if (at !== end) throw new CorruptBlock('zstd block has a wrong length');
    appendLiterals(literals, 0, frame);
    return;
  }
  const modes = bytes[at++]!;
  if (at >= end || (modes & 3) !== 0) throw new CorruptBlock('zstd sequences are not valid');
  const before = frame.tables;
  const literal = readTable(input, { start: at, end, mode: modes >> 6 }, LITERAL_LENGTHS, before?.literal);
  const offset = readTable(input, { start: literal.next, end, mode: (modes >> 4) & 3 }, OFFSETS, before?.offset);
  const match = readTable(input, { start: offset.next, end, mode: (modes >> 2) & 3 }, MATCH_LENGTHS, before?.match);
  const tables = { literal: literal.table, offset: offset.table, match: match.table };
  frame.tables = tables;
  runSequences(input, { start: match.next, end, count, tables }, literals, frame);
}

function readTable(
  input: PaddedBytes,
  { start, end, mode }: Span & { readonly mode: number },
  kind: CodeKind,
  before: FseTable | undefined,
) {
  if (mode === 0) return { table: kind.standard, next: start };
  if (mode === 2) return readFseTable(input, start, end, kind);
  if (mode === 3) {
    if (before === undefined) throw new CorruptBlock('zstd block repeats a table that was never given');
    return { table: before, next: start };
  }
  const symbol = input.bytes[start]!;
  if (start >= end || symbol >= kind.maxSymbols) throw new CorruptBlock('zstd sequence code is out of range');
  return { table: singleSymbolTable(symbol), next: start + 1 };
}

interface SequenceStream extends Span {
  /** Sequences in it. */
  readonly count: number;
  readonly tables: SequenceTables;
}

function runSequences(
  { bytes, view }: PaddedBytes,
  stream: SequenceStream,
  literals: Uint8Array,
  frame: FrameOutput,
): void {
  const { literal, offset, match } = stream.tables;
  const literalRows = literal.rows;
  const offsetRows = offset.rows;
  const matchRows = match.rows;
  const { out, recent } = frame;
  const startBit = stream.start * 8;
  let position = bitstreamEnd(bytes, stream.start, stream.end) - literal.accuracyLog;
  let literalRow = literalRows[bitsAt(view, position, literal.accuracyLog)]!;
  position -= offset.accuracyLog;
  let offsetRow = offsetRows[bitsAt(view, position, offset.accuracyLog)]!;
  position -= match.accuracyLog;
  let matchRow = matchRows[bitsAt(view, position, match.accuracyLog)]!;
  let length = frame.length;
  let used = 0;
  for (let left = stream.count; left > 0; left--) {
    const offsetCode = offsetRow & 255;
    const matchCode = matchRow & 255;
    const literalCode = literalRow & 255;
    if (offsetCode > MAX_OFFSET_CODE) throw new CorruptBlock('zstd match reaches too far back');
    position -= offsetCode;
    const offsetValue = (1 << offsetCode) + bitsAt(view, position, offsetCode);
    let matchLength = MATCH_BASE[matchCode]!;
    if (matchCode >= 32) {
      position -= MATCH_EXTRA[matchCode]!;
      matchLength += bitsAt(view, position, MATCH_EXTRA[matchCode]!);
    }
    let literalLength = LITERAL_BASE[literalCode]!;
    if (literalCode >= 16) {
      position -= LITERAL_EXTRA[literalCode]!;
      literalLength += bitsAt(view, position, LITERAL_EXTRA[literalCode]!);
    }
    if (left > 1) {
      position -= (literalRow >>> 8) & 255;
      literalRow = literalRows[(literalRow >>> 16) + bitsAt(view, position, (literalRow >>> 8) & 255)]!;
      position -= (matchRow >>> 8) & 255;
      matchRow = matchRows[(matchRow >>> 16) + bitsAt(view, position, (matchRow >>> 8) & 255)]!;
      position -= (offsetRow >>> 8) & 255;
      offsetRow = offsetRows[(offsetRow >>> 16) + bitsAt(view, position, (offsetRow >>> 8) & 255)]!;
    }
    const distance = nextDistance(recent, offsetValue, literalLength === 0);
    const matchStart = length + literalLength;
    const matchEnd = matchStart + matchLength;
    if (position < startBit || used + literalLength > literals.length || matchEnd > out.length) {
      throw new CorruptBlock('zstd sequences do not add up');
    }
    if (distance <= 0 || distance > matchStart) throw new CorruptBlock('zstd match reaches before the frame');
    // A native copy pays only beyond some tens of bytes.
    if (literalLength > 48) out.set(literals.subarray(used, used + literalLength), length);
    else for (let i = 0; i < literalLength; i++) out[length + i] = literals[used + i]!;
    used += literalLength;
    if (matchLength > 48 && distance >= matchLength) {
      out.copyWithin(matchStart, matchStart - distance, matchEnd - distance);
    } else {
      for (let i = matchStart; i < matchEnd; i++) out[i] = out[i - distance]!;
    }
    length = matchEnd;
  }
  if (position !== startBit) throw new CorruptBlock('zstd sequences do not end where they should');
  frame.length = length;
  appendLiterals(literals, used, frame);
}

/** The distance that an offset value means; the history moves on (RFC 8878, 3.1.1.5). */
function nextDistance(recent: [number, number, number], value: number, noLiterals: boolean): number {
  if (value > 3) {
    recent[2] = recent[1];
    recent[1] = recent[0];
    return (recent[0] = value - 3);
  }
  const index = noLiterals ? value : value - 1;
  if (index === 0) return recent[0];
  const distance = index === 3 ? recent[0] - 1 : recent[index]!;
  if (index > 1) recent[2] = recent[1];
  recent[1] = recent[0];
  return (recent[0] = distance);
}

function appendLiterals(literals: Uint8Array, from: number, frame: FrameOutput): void {
  const size = literals.length - from;
  if (frame.length + size > frame.out.length) throw new CorruptBlock('zstd frame is longer than it may be');
  frame.out.set(from === 0 ? literals : literals.subarray(from), frame.length);
  frame.length += size;
}
