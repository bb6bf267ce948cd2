import { isUtf8 } from 'node:buffer';

/** A byte that is no UTF-8, as `hostText` writes it. With the flag `u` halves of pairs do not match. */
const ESCAPED = /[\udc80-\udcff]/u;
const ESCAPES = /[\udc80-\udcff]/gu;

/**
 * A name of the host as text. Names are bytes: those that are UTF-8 become the text that they are, and each byte that is
 * not becomes the lone surrogate U+DC00 + byte (PEP 383, "surrogateescape"), which no UTF-8 can mean. `hostBytes` gives the
 * same bytes back, so that every name of the host, its paths and arguments can be held in a string. JSON keeps such text.
 */
export function hostText(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString('utf8');
  if (!text.includes('\ufffd') || isUtf8(bytes)) return text;
  let kept = '';
  for (let at = 0; at < buffer.length;) {
    const length = characterBytes(buffer, at);
    kept += length === 0 ? String.fromCharCode(0xdc00 + buffer[at]!) : buffer.toString('utf8', at, at + length);
    at += length || 1;
  }
  return kept;
}

/** The bytes that a text of `hostText` stands for. */
export function hostBytes(text: string): Buffer {
  if (!hasRawBytes(text)) return Buffer.from(text);
  const pieces: Buffer[] = [];
  let start = 0;
  for (const { index } of text.matchAll(ESCAPES)) {
    pieces.push(Buffer.from(text.slice(start, index)), Buffer.of(text.charCodeAt(index) - 0xdc00));
    start = index + 1;
  }
  return Buffer.concat([...pieces, Buffer.from(text.slice(start))]);
}

/** Whether a text of `hostText` stands for bytes that are not UTF-8. */
export function hasRawBytes(text: string): boolean {
  return ESCAPED.test(text);
}

/** A byte string (latin1), as paths of images are, of the bytes that a text of `hostText` stands for. */
export function byteString(text: string): string {
  return hostBytes(text).toString('latin1');
}

/** A byte string (latin1) as a text of `hostText`. */
export function textOfByteString(bytes: string): string {
  return hostText(Buffer.from(bytes, 'latin1'));
}

/** The text for people: bytes that are not UTF-8 become `\xNN`. It no longer names the file. */
export function shownHostText(text: string): string {
  return text.replace(ESCAPES, unit => `\\x${(unit.charCodeAt(0) - 0xdc00).toString(16)}`);
}

/** A byte string (latin1) as text for people. */
export function shownByteString(bytes: string): string {
  return shownHostText(textOfByteString(bytes));
}

/** Bytes of the UTF-8 character at an offset; 0 where there is none. */
function characterBytes(bytes: Buffer, at: number): number {
  const first = bytes[at]!;
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  return length > 0 && at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length)) ? length : 0;
}
