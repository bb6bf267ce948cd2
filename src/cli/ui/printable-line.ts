import { shownHostText } from '../../core/host-text.ts';

/**
 * ECMA-48 control sequences, 7-bit and 8-bit: CSI, the string commands up to their terminator, two-character escapes. An
 * unterminated string command loses its introducer only, so that hostile output cannot hide what follows.
 */
const ESCAPES =
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?|(?:\u001b[\]PX^_]|[\u0090\u0098\u009d-\u009f])(?:[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c))?|\u001b[ -/]*[0-~]?/g;

/** Controls besides tab, and the marks that reorder text on a terminal (Unicode Bidirectional Algorithm, 2.1–2.4). */
const CONTROLS = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const SEPARATORS = /[\u2028\u2029]/g;
/** Half a surrogate pair. */
const LONE = /\p{Surrogate}/gu;
const NEEDS_WORK = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/;

/** Longest line that is shown, in UTF-16 units. */
export const MAX_LINE_UNITS = 2000;

/**
 * One line of foreign output as text that cannot drive a terminal: escape sequences and control characters are gone
 * (tabs stay), what `\r` and `\b` overwrote is folded to its last state, and a very long line is cut with a note.
 */
export function printableLine(text: string): string {
  const clean = NEEDS_WORK.test(text) ? scrub(text) : text;
  if (clean.length <= MAX_LINE_UNITS) return clean;
  const cut = clean.slice(0, MAX_LINE_UNITS).replace(LONE, '');
  return `${cut}… (${clean.length - cut.length} more characters)`;
}

/** `printableLine` for text of several lines. */
export function printableLines(text: string): string[] {
  return text.split(/\r?\n/).map(printableLine);
}

function scrub(text: string): string {
  const visible = shownHostText(lastState(text.replace(ESCAPES, '')));
  return visible.replace(SEPARATORS, ' ').replace(CONTROLS, '').replace(LONE, '\ufffd');
}

/** A progress bar rewrites its line after `\r`; only what it wrote last is kept. */
function lastState(text: string): string {
  const written = text.includes('\r') ? (text.split('\r').findLast(part => part.trim() !== '') ?? '') : text;
  return written.includes('\b') ? withoutBackspaces(written) : written;
}

function withoutBackspaces(text: string): string {
  const kept: string[] = [];
  for (const character of text) {
    if (character === '\b') kept.pop();
    else kept.push(character);
  }
  return kept.join('');
}
