import { splitLines } from '../text/three-way.ts';

/** A line of subuid(5) or subgid(5). */
export interface SubordinateRange {
  readonly line: string;
  /** Name or number of the user, a byte string (latin1). */
  readonly owner: string;
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

export function parseRange(line: string): SubordinateRange | 'malformed' | undefined {
  if (/^\s*(?:#|$)/.test(line)) return undefined;
  const match = /^([^:\0]+):(\d{1,10}):(\d{1,10})\s*$/.exec(line);
  if (!match) return 'malformed';
  const start = Number(match[2]);
  return { line, owner: match[1]!, start, end: start + Number(match[3]) };
}

export function rangesOf(text: string): readonly SubordinateRange[] {
  const ranges: SubordinateRange[] = [];
  for (const line of new Set(splitLines(text))) {
    const range = parseRange(line);
    if (typeof range === 'object' && range.end > range.start) ranges.push(range);
  }
  return ranges;
}

function overlap(a: SubordinateRange, b: SubordinateRange): boolean {
  return a.start < b.end && b.start < a.end;
}

export interface RangeProblem {
  readonly ancestor: readonly SubordinateRange[];
  /** In the order of application. */
  readonly sides: readonly (readonly SubordinateRange[])[];
  /** What the version of the image before had. */
  readonly previous: readonly SubordinateRange[];
  /** Where ranges begin that are given to somebody. */
  readonly first: number;
}

/** A range that a side loses, and what it gets in its place. */
export interface MovedRange {
  readonly side: number;
  readonly from: SubordinateRange;
  /** First id of the new range. */
  readonly to: number;
}

const LAST_ID = 0xffff_fffe;
/** More ranges are compared with nobody's: they stay, and overlap. */
const MOST_RANGES = 1000;

/**
 * Ranges of different users that overlap and that no tree has together: the first keeps its own, the other gets as many ids
 * where the previous version of the image had them, or after all others. One for which there is no room stays.
 */
export function settleRanges({ ancestor, sides, previous, first }: RangeProblem): readonly MovedRange[] {
  const trees = [ancestor, ...sides];
  if (trees.some(({ length }) => length > MOST_RANGES)) return [];
  const together = trees.map(ranges => new Set(ranges.map(({ line }) => line)));
  const known = new Set(ancestor.map(({ line }) => line));
  const all = trees.flat();
  const held = [...ancestor];
  const moved: MovedRange[] = [];
  for (const [side, ranges] of sides.entries()) {
    for (const range of ranges) {
      if (known.has(range.line)) continue;
      known.add(range.line);
      const clashes = held.some(
        other => overlap(range, other) && !together.some(lines => lines.has(range.line) && lines.has(other.line)),
      );
      const to = clashes ? placeFor(range, { held, all, previous, first }) : undefined;
      if (to === undefined) {
        held.push(range);
        continue;
      }
      moved.push({ side, from: range, to });
      held.push({ ...range, start: to, end: to + (range.end - range.start) });
    }
  }
  return moved;
}

function placeFor(
  range: SubordinateRange,
  among: {
    readonly held: readonly SubordinateRange[];
    readonly all: readonly SubordinateRange[];
    readonly previous: readonly SubordinateRange[];
    readonly first: number;
  },
): number | undefined {
  const count = range.end - range.start;
  const others = [...among.held, ...among.all.filter(({ owner }) => owner !== range.owner)];
  const old = among.previous.find(({ owner, start, end }) => owner === range.owner && end - start === count);
  if (old !== undefined && !others.some(other => overlap(old, other))) return old.start;
  const end = [...among.held, ...among.all].reduce((most, each) => Math.max(most, each.end), among.first);
  return end + count - 1 <= LAST_ID ? end : undefined;
}
