/** Grapheme clusters that terminals draw two cells wide: East Asian Wide and Fullwidth (UAX #11), and emoji (UTS #51). */
const WIDE =
  /[\u1100-\u115f\u231a\u231b\u2329\u232a\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18dff}\u{1aff0}-\u{1b2ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\p{Emoji}\ufe0f/u;

/** Clusters without a cell of their own. */
const INVISIBLE = /^[\p{Mn}\p{Me}\p{Cf}\p{Cc}\u1160-\u11ff]+$/u;

/** Text of one cell per UTF-16 unit, by far the most common: ASCII, Latin letters, punctuation, lines, blocks, Braille. */
const SIMPLE = /^[ -~\u00a1-\u00ac\u00ae-\u02ff\u2010-\u2027\u2500-\u259f\u2800-\u28ff]*$/;

let segmenter: Intl.Segmenter | undefined;

/** Made at the first text that needs it: loading its tables takes longer than all else that a quick command does. */
function clustersOf(text: string): Intl.Segments {
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  return segmenter.segment(text);
}

/** Cells that text without escapes, tabs and newlines takes on a terminal. */
export function displayWidth(text: string): number {
  if (SIMPLE.test(text)) return text.length;
  let width = 0;
  for (const { segment } of clustersOf(text)) width += clusterWidth(segment);
  return width;
}

/** The text, cut to at most `width` cells; `…` stands for what was cut, at the end or, to keep the end, at the start. */
export function fitWidth(text: string, width: number, cut: 'end' | 'start' = 'end'): string {
  if (width <= 0) return '';
  // Few clusters are longer than this; the rest of a long line need not be measured.
  const bounded = boundedText(text, width * 4, cut);
  if (SIMPLE.test(bounded)) {
    if (text.length <= width) return text;
    return cut === 'start' ? `…${bounded.slice(bounded.length - width + 1)}` : `${bounded.slice(0, width - 1)}…`;
  }
  if (bounded === text && displayWidth(text) <= width) return text;
  const clusters = Array.from(clustersOf(bounded), part => part.segment);
  if (cut === 'start') clusters.reverse();
  const kept: string[] = [];
  let left = width - 1;
  for (const cluster of clusters) {
    left -= clusterWidth(cluster);
    if (left < 0) break;
    kept.push(cluster);
  }
  return cut === 'start' ? `…${kept.toReversed().join('')}` : `${kept.join('')}…`;
}

/** The text followed, or with `align` `right` preceded, by spaces up to `width` cells. */
export function padWidth(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const spaces = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return align === 'left' ? text + spaces : spaces + text;
}

/** Tabs as spaces, up to the next multiple of eight cells as terminals do. */
export function expandTabs(text: string): string {
  if (!text.includes('\t')) return text;
  let line = '';
  for (const part of text.split(/(\t)/)) line += part === '\t' ? ' '.repeat(8 - (displayWidth(line) % 8)) : part;
  return line;
}

function clusterWidth(cluster: string): number {
  if (SIMPLE.test(cluster)) return cluster.length;
  if (INVISIBLE.test(cluster)) return 0;
  return WIDE.test(cluster) ? 2 : 1;
}

function boundedText(text: string, units: number, cut: 'end' | 'start'): string {
  if (text.length <= units) return text;
  return cut === 'end' ? text.slice(0, units) : text.slice(-units);
}
