import { CorruptBlock } from './malformed.ts';

const MIN_MATCH = 4;

/**
 * Decodes one raw LZ4 block (lz4_Block_format.md) of at most `maxBytes`. Work and memory are bounded by that. The result
 * belongs to the caller. Throws `CorruptBlock`.
 */
export function lz4Decode(compressed: Uint8Array, maxBytes: number): Buffer {
  const input = new Uint8Array(compressed.buffer, compressed.byteOffset, compressed.byteLength);
  const out = new Uint8Array(maxBytes);
  let at = 0;
  let length = 0;
  while (at < input.length) {
    const token = input[at++]!;
    let literals = token >> 4;
    if (literals === 15) [literals, at] = extendedLength(input, at, literals);
    if (at + literals > input.length || length + literals > maxBytes) throw overrun();
    if (literals > 48) out.set(input.subarray(at, at + literals), length);
    else for (let i = 0; i < literals; i++) out[length + i] = input[at + i]!;
    at += literals;
    length += literals;
    // The last sequence is literals only.
    if (at === input.length) return Buffer.from(out.buffer, 0, length);
    if (at + 2 > input.length) throw overrun();
    const distance = input[at]! | (input[at + 1]! << 8);
    at += 2;
    let match = (token & 15) + MIN_MATCH;
    if (match === 15 + MIN_MATCH) [match, at] = extendedLength(input, at, match);
    if (distance === 0 || distance > length || length + match > maxBytes) throw overrun();
    const end = length + match;
    if (match > 48 && distance >= match) out.copyWithin(length, length - distance, end - distance);
    else for (let i = length; i < end; i++) out[i] = out[i - distance]!;
    length = end;
  }
  throw overrun();
}

function extendedLength(input: Uint8Array, start: number, base: number): [length: number, next: number] {
  let length = base;
  let at = start;
  for (;;) {
    const more = input[at++];
    if (more === undefined) throw overrun();
    length += more;
    if (more !== 255) return [length, at];
  }
}

function overrun(): CorruptBlock {
  return new CorruptBlock('lz4 block does not add up');
}
