import { tarError } from './tar-error.ts';

/** Records of a pax extended header in order (POSIX.1-2001): keys and values are bytes. */
export type PaxRecords = readonly (readonly [key: string, value: Buffer])[];

const SPACE = 0x20;
const EQUALS = 0x3d;
const NEWLINE = 0x0a;

/** Parses `LENGTH KEY=VALUE\n` records; anything else is `invalid-input`. */
export function parsePaxRecords(body: Buffer): PaxRecords {
  const records: [string, Buffer][] = [];
  for (let at = 0; at < body.length;) {
    // Some writers pad the body with NULs inside its stated size.
    if (body[at] === 0) break;
    const space = body.indexOf(SPACE, at);
    const digits = space < 0 ? '' : body.toString('latin1', at, Math.min(space, at + 12));
    const length = /^\d{1,10}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    const equals = body.indexOf(EQUALS, space + 1);
    if (length === 0 || end > body.length || equals < 0 || equals >= end - 1 || body[end - 1] !== NEWLINE) {
      throw tarError('a pax header has a malformed record');
    }
    records.push([body.toString('latin1', space + 1, equals), body.subarray(equals + 1, end - 1)]);
    at = end;
  }
  return records;
}

/** One record; its length counts its own digits. */
export function paxRecord(key: string, value: Uint8Array | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
  const rest = key.length + bytes.byteLength + 3;
  let length = rest + String(rest).length;
  if (String(length).length !== String(rest).length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`, 'latin1'), bytes, Buffer.of(NEWLINE)]);
}
