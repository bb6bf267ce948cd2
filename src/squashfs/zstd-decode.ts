import { CorruptBlock } from './malformed.ts';
import { PADDING, bitsAt, type PaddedBytes } from './zstd-entropy.ts';
import { decodeHuffmanStream, readHuffmanTable, type HuffmanTable } from './zstd-huffman.ts';
import { decodeSequences, type FrameOutput } from './zstd-sequences.ts';

const MAGIC = 0xfd2fb528;
const MAX_BLOCK_BYTES = 128 * 1024;

interface Frame extends FrameOutput {
  huffman: HuffmanTable | undefined;
}

let scratchInput = padded(64 * 1024);
const scratchLiterals = new Uint8Array(MAX_BLOCK_BYTES);

/**
 * Decodes one zstd frame (RFC 8878) of at most `maxBytes`, for a Node without zstd of its own. Work and memory are bounded
 * by `maxBytes` and the input's length whatever the bytes say. Content checksums are not verified; dictionaries are
 * refused. The result belongs to the caller. Throws `CorruptBlock`.
 */
export function zstdDecode(compressed: Uint8Array, maxBytes: number): Buffer {
  const input = pad(compressed);
  const header = readFrameHeader(input);
  if (header.contentBytes !== undefined && header.contentBytes > maxBytes) {
    throw new CorruptBlock(`zstd frame holds ${header.contentBytes} bytes where at most ${maxBytes} may be`);
  }
  // A plain Uint8Array, because one concrete type keeps the inner loops fast.
  const out = new Uint8Array(header.contentBytes ?? maxBytes);
  const frame: Frame = { out, length: 0, huffman: undefined, tables: undefined, recent: [1, 4, 8] };
  let at = header.next;
  let last = false;
  while (!last) {
    if (at + 3 > input.end) throw new CorruptBlock('zstd frame is cut off');
    const blockHeader = bitsAt(input.view, at * 8, 24);
    last = (blockHeader & 1) === 1;
    at = decodeBlock(input, at + 3, blockHeader, frame);
  }
  if (at + header.checksumBytes !== input.end) throw new CorruptBlock('zstd frame has a wrong length');
  if (header.contentBytes !== undefined && frame.length !== header.contentBytes) {
    throw new CorruptBlock('zstd frame is shorter than it says');
  }
  return Buffer.from(out.buffer, 0, frame.length);
}

/** Copies the input between two paddings; the scratch memory lives until the next call, which is never concurrent. */
function pad(compressed: Uint8Array): PaddedBytes {
  if (scratchInput.bytes.length < compressed.length + 2 * PADDING) scratchInput = padded(compressed.length * 2);
  const end = PADDING + compressed.length;
  scratchInput.bytes.set(compressed, PADDING);
  scratchInput.bytes.fill(0, end, end + PADDING);
  return { ...scratchInput, end };
}

function padded(sizeBytes: number) {
  const bytes = new Uint8Array(sizeBytes + 2 * PADDING);
  return { bytes, view: new DataView(bytes.buffer) };
}

function readFrameHeader({ bytes, view, end }: PaddedBytes) {
  const start = PADDING + 5;
  if (start > end || view.getUint32(PADDING, true) !== MAGIC) throw new CorruptBlock('not a zstd frame');
  const flags = bytes[PADDING + 4]!;
  if ((flags & 8) !== 0) throw new CorruptBlock('zstd frame uses a reserved flag');
  if ((flags & 3) !== 0) throw new CorruptBlock('zstd frame needs a dictionary');
  const single = (flags & 32) !== 0;
  const sizeField = [single ? 1 : 0, 2, 4, 8][flags >> 6]!;
  const sizeAt = single ? start : start + 1;
  const next = sizeAt + sizeField;
  if (next > end) throw new CorruptBlock('zstd frame is cut off');
  let contentBytes: number | undefined;
  if (sizeField > 0) {
    contentBytes = sizeField === 2 ? 256 : 0;
    for (let i = 0; i < sizeField; i++) contentBytes += bytes[sizeAt + i]! * 2 ** (8 * i);
  }
  return { next, contentBytes, checksumBytes: (flags & 4) !== 0 ? 4 : 0 };
}

/** Decodes one block and returns the offset after it. */
function decodeBlock(input: PaddedBytes, start: number, header: number, frame: Frame): number {
  const { bytes } = input;
  const type = (header >> 1) & 3;
  const size = header >> 3;
  if (type === 3 || size > MAX_BLOCK_BYTES) throw new CorruptBlock('zstd block header is not valid');
  const end = start + (type === 1 ? 1 : size);
  if (end > input.end) throw new CorruptBlock('zstd block is cut off');
  if (type === 2) {
    const { literals, next } = readLiterals(input, start, end, frame);
    decodeSequences(input, { start: next, end }, literals, frame);
    return end;
  }
  if (frame.length + size > frame.out.length) throw new CorruptBlock('zstd frame is longer than it may be');
  if (type === 0) frame.out.set(bytes.subarray(start, end), frame.length);
  else frame.out.fill(bytes[start]!, frame.length, frame.length + size);
  frame.length += size;
  return end;
}

/** The literals section of a block (RFC 8878, 3.1.1.3.1); the bytes live in scratch memory. */
function readLiterals(input: PaddedBytes, start: number, end: number, frame: Frame) {
  const { bytes, view } = input;
  if (start >= end) throw new CorruptBlock('zstd block is cut off');
  const first = bytes[start]!;
  const type = first & 3;
  const format = (first >> 2) & 3;
  if (type < 2) {
    const header = format === 1 ? 2 : format === 3 ? 3 : 1;
    const size = header === 1 ? first >> 3 : bitsAt(view, start * 8 + 4, header === 2 ? 12 : 20);
    const from = start + header;
    const next = from + (type === 0 ? size : 1);
    if (next > end || size > MAX_BLOCK_BYTES) throw new CorruptBlock('zstd literals are cut off');
    if (type === 0) return { literals: bytes.subarray(from, next), next };
    return { literals: scratchLiterals.subarray(0, size).fill(bytes[from]!), next };
  }
  const width = format < 2 ? 10 : format === 2 ? 14 : 18;
  const header = format < 2 ? 3 : format + 2;
  const size = bitsAt(view, start * 8 + 4, width);
  const next = start + header + bitsAt(view, start * 8 + 4 + width, width);
  if (next > end || size > MAX_BLOCK_BYTES) throw new CorruptBlock('zstd literals are cut off');
  let at = start + header;
  if (type === 2) ({ table: frame.huffman, next: at } = readHuffmanTable(input, at, next));
  const table = frame.huffman;
  if (table === undefined) throw new CorruptBlock('zstd block repeats a Huffman tree that was never given');
  const literals = scratchLiterals.subarray(0, size);
  if (format === 0) {
    decodeHuffmanStream(input, { start: at, end: next }, table, literals);
    return { literals, next };
  }
  const quarter = (size + 3) >> 2;
  if (at + 6 > next || quarter * 3 > size) throw new CorruptBlock('zstd literals are cut off');
  let stream = at + 6;
  for (let i = 0; i < 4; i++) {
    const streamEnd = i === 3 ? next : stream + view.getUint16(at + 2 * i, true);
    if (streamEnd > next) throw new CorruptBlock('zstd literals are cut off');
    const to = i === 3 ? size : quarter * (i + 1);
    decodeHuffmanStream(input, { start: stream, end: streamEnd }, table, literals.subarray(quarter * i, to));
    stream = streamEnd;
  }
  return { literals, next };
}
