/** Numbers that lengths, offsets and counts are compared with. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff] as const;

/** A copy of a real file with a few faults: flipped bits, edge numbers, pieces left out, doubled, or put elsewhere. */
export function mutate(original: Uint8Array, random: () => number): Buffer {
  let bytes = Buffer.from(original);
  const below = (count: number) => Math.floor(random() * count);
  for (let faults = 1 + below(4); faults > 0 && bytes.length > 0; faults--) {
    const at = below(bytes.length);
    const length = 1 + below(Math.min(64, bytes.length - at));
    switch (below(7)) {
      case 0:
        bytes[at]! ^= 1 << below(8);
        break;
      case 1:
        bytes[at] = below(256);
        break;
      case 2: {
        const width = [1, 2, 4].filter(each => at + each <= bytes.length).at(-1 - below(2)) ?? 1;
        bytes.writeUIntLE(EDGES[below(EDGES.length)]! % 2 ** (8 * width), at, width);
        break;
      }
      case 3:
        bytes = bytes.subarray(0, at);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 5:
        bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
        break;
      default:
        bytes.copy(bytes, below(bytes.length - length + 1), at, at + length);
    }
  }
  return bytes;
}
