import { hostBytes, textOfByteString } from '../../core/host-text.ts';

/**
 * What a listing does not show as it is: controls, separators of lines, the marks that reorder text (Unicode
 * Bidirectional Algorithm, 2.1–2.4), surrogates without a partner, the space and the backslash.
 */
const QUOTED = /[\u0000-\u0020\\\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|[\ud800-\udfff]/gu;

/** Escapes of C, as ls(1) `-b` uses them. */
const LETTERS: Readonly<Record<string, string>> = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  ' ': '\\ ',
  '\\': '\\\\',
};

/**
 * A name (`hostText`) as ls(1) `-b` writes it: one line that shows every byte, so that no two names look the same and none
 * can drive a terminal.
 */
export function quotedName(text: string): string {
  return text.replace(QUOTED, character => LETTERS[character] ?? octal(hostBytes(character)));
}

/** `quotedName` of a byte string (latin1). */
export function quotedByteString(bytes: string): string {
  return quotedName(textOfByteString(bytes));
}

function octal(bytes: Uint8Array): string {
  return Array.from(bytes, byte => `\\${byte.toString(8).padStart(3, '0')}`).join('');
}
