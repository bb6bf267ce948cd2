/** The same numbers for the same seed on every machine: `mulberry32`, from 0 up to 1. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Some of the items, each at most once, in random order. */
export function pick<T>(items: readonly T[], count: number, random: () => number): readonly T[] {
  const left = [...items];
  const picked: T[] = [];
  while (picked.length < count && left.length > 0) {
    const [item] = left.splice(Math.floor(random() * left.length), 1);
    picked.push(item!);
  }
  return picked;
}
