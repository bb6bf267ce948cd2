import { StkError } from '../core/errors.ts';

/** A part of a text, in UTF-16 units from its beginning. */
export interface TextPlace {
  readonly at: number;
  readonly length: number;
}

const MAX_SHOWN = 200;

/** A text that names no image. It is `invalid-input`, shows no password, and says which part of the text is wrong. */
export class ImageNameError extends StkError {
  /** What is wrong, to go on after the name. */
  readonly problem: string;
  readonly place: TextPlace;

  constructor(text: string, problem: string, place: TextPlace, hint?: string) {
    const safe = showReference(text);
    const shown = safe.length > MAX_SHOWN ? `${safe.slice(0, MAX_SHOWN)}…` : safe;
    super('invalid-input', `image name ${shown} ${problem}${whereIn(text, safe, place)}`, {
      ...(hint === undefined ? {} : { hint }),
      facts: { reference: shown, at: place.at, length: place.length },
    });
    this.name = 'ImageNameError';
    this.problem = problem;
    this.place = place;
  }
}

/** Nothing where part of the text must not be shown, and the empty text has no characters to count. */
function whereIn(text: string, safe: string, { at, length }: TextPlace): string {
  if (safe !== text || text === '') return '';
  const part = text.slice(at, at + length);
  if (part === '') return at >= text.length ? ', at its end' : `, at character ${at + 1}`;
  const shown = part.length > MAX_SHOWN ? `${part.slice(0, MAX_SHOWN)}…` : part;
  return part === text ? '' : `: ${shown}, at character ${at + 1}`;
}

/** A name for messages: what may be a login that somebody wrote before the host is left out. */
export function showReference(text: string): string {
  if (/^(?:oci|docker-archive|oci-archive):/.test(text)) return text;
  const digest = /@sha\d{1,4}:[^@]*$/.exec(text)?.[0] ?? '';
  const rest = text.slice(0, text.length - digest.length);
  const scheme = /^[a-z]{1,20}:\/\//.exec(rest)?.[0] ?? '';
  const at = rest.lastIndexOf('@');
  const hasLogin = rest.slice(scheme.length, Math.max(at, scheme.length)).includes(':');
  return hasLogin ? `${scheme}***${rest.slice(at)}${digest}` : text;
}
