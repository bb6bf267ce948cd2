import { canonicalJson } from '../../core/canonical-json.ts';
import type { LineFormatter } from './plain.ts';

/** What `JSON.stringify` leaves as it is although a terminal may act on it. */
const UNESCAPED = /[\u007f-\u009f\u2028\u2029]/g;

/** One event per line as canonical JSON, for programs; `debug` messages only where asked for. */
export function jsonFormatter(options: { readonly debug: boolean }): LineFormatter {
  return event => {
    if (event.type === 'message' && event.level === 'debug' && !options.debug) return [];
    const text = canonicalJson(event);
    return [text.replace(UNESCAPED, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)];
  };
}
