import { displayWidth, fitWidth, padWidth } from './display-width.ts';
import { printableLine } from './printable-line.ts';

export interface Column {
  /** Shown above the column; a table whose headings are all empty has no heading line. */
  readonly heading: string;
  readonly align?: 'left' | 'right';
  /** May be cut where the table is wider than allowed, at its end or at its start; other columns are never cut. */
  readonly shrink?: 'end' | 'start';
}

const GAP = '  ';
const MIN_SHRUNK = 8;

/**
 * Rows as aligned columns, one line per row without terminators and without trailing spaces. Cells are foreign text: each
 * is made one harmless line.
 * @param maxWidth cells of the terminal; without it nothing is cut
 */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  maxWidth?: number,
): string[] {
  const headings = columns.map(column => column.heading);
  const cells = rows.map(row => columns.map((_, index) => cellText(row[index] ?? '')));
  const lines = headings.some(heading => heading !== '') ? [headings, ...cells] : cells;
  const natural = columns.map((_, index) =>
    lines.reduce((most, line) => Math.max(most, displayWidth(line[index]!)), 0),
  );
  const widths = maxWidth === undefined ? natural : shrunkWidths(columns, natural, maxWidth);
  return lines.map(line =>
    line
      .map((cell, index) => {
        const { align, shrink } = columns[index]!;
        const width = widths[index]!;
        return padWidth(width < natural[index]! ? fitWidth(cell, width, shrink) : cell, width, align);
      })
      .join(GAP)
      .trimEnd(),
  );
}

function cellText(text: string): string {
  return printableLine(text.replace(/[\t\n]/g, ' '));
}

/** Takes what is too much from the widest of the columns that may shrink, cell by cell. */
function shrunkWidths(columns: readonly Column[], natural: readonly number[], maxWidth: number): number[] {
  const widths = [...natural];
  let excess = widths.reduce((sum, width) => sum + width, 0) + GAP.length * (columns.length - 1) - maxWidth;
  while (excess > 0) {
    let widest = -1;
    for (const [index, { shrink }] of columns.entries()) {
      if (shrink === undefined || widths[index]! <= MIN_SHRUNK) continue;
      if (widest < 0 || widths[index]! > widths[widest]!) widest = index;
    }
    if (widest < 0) break;
    widths[widest]!--;
    excess--;
  }
  return widths;
}
