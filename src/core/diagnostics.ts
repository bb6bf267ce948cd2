import { StkError } from './errors.ts';
import { maskUrls } from './mask-urls.ts';

/** A place in a text file. Lines and columns count from 1; columns count UTF-16 units; the end is exclusive. */
export interface SourceSpan {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
}

/** One problem in what a user wrote. */
export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  /** Stable kebab-case name of the rule, such as `unknown-directive`. */
  readonly rule: string;
  readonly message: string;
  readonly span?: SourceSpan;
  /** What to write instead. */
  readonly suggestion?: string;
}

/** A recipe with problems; carries all of them and the texts they point into, so that a renderer can show code frames. */
export class RecipeError extends StkError {
  readonly diagnostics: readonly Diagnostic[];
  readonly sources: ReadonlyMap<string, string>;

  constructor(diagnostics: readonly Diagnostic[], sources: ReadonlyMap<string, string>) {
    const errors = diagnostics.filter(d => d.severity === 'error');
    super('recipe-invalid', errors.map(d => d.message).join('; '));
    this.name = 'RecipeError';
    this.diagnostics = diagnostics;
    this.sources = sources;
  }
}

/** Up to one line of context above, the line itself, and a squiggle under the span. Empty if the span is outside. */
export function codeFrame(text: string, span: SourceSpan): string {
  const lines = text.split(/\r?\n/);
  const line = lines[span.line - 1];
  if (line === undefined) return '';
  const width = String(span.line).length;
  const end = span.endLine === span.line ? span.endColumn : line.length + 1;
  const rows: string[] = [];
  const above = lines[span.line - 2];
  if (above !== undefined && above.trim() !== '')
    rows.push(frameRow(String(span.line - 1).padStart(width), maskUrls(above).text));
  rows.push(frameRow(String(span.line), maskUrls(line).text));
  const lead = line.slice(0, span.column - 1).replace(/[^\t]/g, ' ');
  rows.push(frameRow(' '.repeat(width), lead + '~'.repeat(Math.max(1, end - span.column))));
  return rows.join('\n');
}

function frameRow(label: string, text: string): string {
  return ` ${label} | ${text}`.trimEnd();
}

/** The candidate nearest to a misspelt word by edit distance, if it is near enough to be worth suggesting. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Damerau-Levenshtein distance (adjacent transpositions count one). */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let value = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        value = Math.min(value, rows[i - 2]![j - 2]! + 1);
      }
      row.push(value);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
