import type { AccountsText } from './accounts-records.ts';
import { conflict, shown, type ConflictOutcome } from '../file-versions.ts';
import { mergeLineSets, splitLines } from '../text/three-way.ts';
import { parseRange, rangesOf, type SubordinateRange } from './subordinate-ids.ts';

/** More than so many ranges over one id make no sense and would take long to compare. */
const MAX_OVERLAPS = 50;

/**
 * subuid(5) and subgid(5): the union of the lines. Ranges that overlap and that no side had together are a conflict: two
 * users would own each other's files.
 */
export function mergeSubordinateIds(
  path: string,
  ancestor: string,
  sides: readonly AccountsText[],
): string | ConflictOutcome {
  const known = new Set(splitLines(ancestor));
  for (const { name, text } of sides) {
    const line = splitLines(text).find(candidate => !known.has(candidate) && parseRange(candidate) === 'malformed');
    if (line !== undefined) {
      const message = `/${shown(path)} of ${name} is damaged: a line is no range of ids: ${shown(line)}`;
      return conflict(message, { remedies: [] });
    }
  }
  const merged = mergeLineSets(
    ancestor,
    sides.map(({ text }) => text),
  );
  const sources = [{ name: 'the base', text: ancestor }, ...sides].map(({ name, text }) => ({
    name,
    lines: new Set(splitLines(text)),
  }));
  const ownerOf = (line: string) => sources.find(({ lines }) => lines.has(line))?.name ?? 'the merged file';
  const problems: string[] = [];
  for (const [a, b] of overlaps(merged)) {
    if (b === undefined) {
      problems.push(`more than ${MAX_OVERLAPS} ranges overlap, among them ${shown(a)} in ${ownerOf(a)}`);
      break;
    }
    if (sources.some(({ lines }) => lines.has(a) && lines.has(b))) continue;
    problems.push(`the ranges ${shown(a)} in ${ownerOf(a)} and ${shown(b)} in ${ownerOf(b)} overlap`);
  }
  const [first, ...others] = problems;
  if (first === undefined) return merged;
  return conflict(`/${shown(path)}: ${first}`, { excerpt: others.length === 0 ? [] : problems, remedies: [] });
}

/** Pairs of different lines whose ranges have an id in common; a line alone, and no more, where there are too many. */
function* overlaps(text: string): Generator<readonly [string, string | undefined]> {
  const ranges = rangesOf(text).toSorted((a, b) => a.start - b.start);
  let open: SubordinateRange[] = [];
  for (const range of ranges) {
    open = open.filter(({ end }) => end > range.start);
    for (const earlier of open) yield [earlier.line, range.line];
    if (open.length >= MAX_OVERLAPS) return yield [range.line, undefined];
    open.push(range);
  }
}
