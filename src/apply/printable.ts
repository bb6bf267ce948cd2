import { shownByteString } from '../core/host-text.ts';

/** Controls, separators of lines, and the marks that reorder text (Unicode Bidirectional Algorithm, 2.1–2.4). */
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** One line of text without anything that could drive a terminal or reorder what it shows. */
export function printable(text: string, instead: (unit: string) => string = () => '\uFFFD'): string {
  return text.replace(UNPRINTABLE, instead);
}

/** A byte string in the form of `imagePath` as an absolute path for people. */
export function shownImagePath(path: string): string {
  return printable(`/${shownByteString(path)}`);
}
