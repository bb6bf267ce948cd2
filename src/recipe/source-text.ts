import type { SourceSpan } from '../core/diagnostics.ts';

/** A stretch of the substituted text that stands for a placeholder of the raw text; offsets in UTF-16 units. */
export interface Replacement {
  readonly at: number;
  readonly length: number;
  readonly rawAt: number;
  readonly rawLength: number;
}

/** Turns offsets of the text that was parsed into places of the file that the user wrote. */
export class SourceText {
  readonly file: string;
  readonly raw: string;
  readonly #replacements: readonly Replacement[];
  #lineStarts: number[] | undefined;

  /** `replacements` ascend and do not overlap; none means that the raw text itself was parsed. */
  constructor(file: string, raw: string, replacements: readonly Replacement[] = []) {
    this.file = file;
    this.raw = raw;
    this.#replacements = replacements;
  }

  /** From `start` up to `end` (exclusive) of the parsed text. Inside a replaced stretch it is the whole placeholder. */
  span(start: number, end: number): SourceSpan {
    if (start < end) return this.rawSpan(this.#rawStart(start), this.#rawEnd(end));
    const at = this.#replacements[lastAtOrBefore(this.#replacements, start, r => r.at)];
    if (at?.at === start && at.length === 0) return this.rawSpan(at.rawAt, at.rawAt + at.rawLength);
    return this.rawSpan(this.#rawStart(start), this.#rawStart(start));
  }

  /** From `start` up to `end` (exclusive) of the raw text. */
  rawSpan(start: number, end: number): SourceSpan {
    const from = this.#position(start);
    const to = this.#position(end);
    return { file: this.file, line: from.line, column: from.column, endLine: to.line, endColumn: to.column };
  }

  /** Where the character at `offset` begins. */
  #rawStart(offset: number): number {
    const before = this.#replacements[lastAtOrBefore(this.#replacements, offset, r => r.at)];
    if (before === undefined) return offset;
    const past = offset - before.at - before.length;
    return past >= 0 ? before.rawAt + before.rawLength + past : before.rawAt;
  }

  /** Where the character before `offset` ends. */
  #rawEnd(offset: number): number {
    const before = this.#replacements[lastAtOrBefore(this.#replacements, offset - 1, r => r.at)];
    if (before === undefined) return offset;
    return before.rawAt + before.rawLength + Math.max(0, offset - before.at - before.length);
  }

  #position(offset: number): { line: number; column: number } {
    const starts = (this.#lineStarts ??= lineStarts(this.raw));
    const clamped = Math.min(Math.max(offset, 0), this.raw.length);
    const index = lastAtOrBefore(starts, clamped, start => start);
    return { line: index + 1, column: clamped - starts[index]! + 1 };
  }
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
}

/** Index of the last element whose position is not after `offset`, -1 if there is none. */
function lastAtOrBefore<T>(items: readonly T[], offset: number, position: (item: T) => number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (position(items[middle]!) <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
