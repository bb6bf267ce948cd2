import { hasRawBytes, hostBytes } from '../../core/host-text.ts';
import { quotedName } from './quoted-name.ts';

/** How `JSON.stringify` writes what stands for a byte that is not UTF-8 (`hostText`), and more. */
const MAY_BE_RAW = /\\udc[89a-f]/;

/**
 * A value as JSON for programs. JSON has no bytes: a text that stands for some is written as `quotedName` has it, and where
 * it is the member of an object, the exact bytes stand beside it, under its key with `Base64` behind.
 */
export function jsonText(value: unknown, indent = 0): string {
  const text = JSON.stringify(value, undefined, indent);
  return MAY_BE_RAW.test(text) ? JSON.stringify(withoutRawBytes(JSON.parse(text)), undefined, indent) : text;
}

function withoutRawBytes(value: unknown): unknown {
  if (typeof value === 'string') return hasRawBytes(value) ? quotedName(value) : value;
  if (Array.isArray(value)) return value.map(withoutRawBytes);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, member]: [string, unknown]) => {
      const shown = [withoutRawBytes(key), withoutRawBytes(member)] as const;
      if (typeof member !== 'string' || !hasRawBytes(member)) return [shown];
      return [shown, [`${key}Base64`, hostBytes(member).toString('base64')] as const];
    }),
  );
}
