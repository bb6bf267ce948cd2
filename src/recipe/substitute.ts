import type { Diagnostic, SourceSpan } from '../core/diagnostics.ts';
import { SourceText, type Replacement } from './source-text.ts';

/** A text whose placeholders were replaced; `source` leads offsets of `text` back to the file. */
export interface SubstitutedText {
  readonly text: string;
  readonly source: SourceText;
  readonly diagnostics: readonly Diagnostic[];
  /** Placeholders without a value. In `text` their bare names stand for them, so that the rest can still be read. */
  readonly missing: readonly { readonly name: string; readonly span: SourceSpan }[];
}

/**
 * Replaces `${{NAME}}` and `${{NAME:default}}` in the raw text, comments included, in one pass: a value is not searched
 * for further placeholders. A name without value and default is an error, and so is `$NAME`, `${NAME}` or `${NAME:…}`
 * where a value for NAME was given, since whoever gave it expected it to be used. Names in those forms are whole words.
 * @param dummy stands for every name without value and default, where only the shape of the text matters
 */
export function substitute(
  file: string,
  raw: string,
  values: ReadonlyMap<string, string>,
  dummy?: string,
): SubstitutedText {
  const replacements: Replacement[] = [];
  const missing: { readonly name: string; readonly written: string; readonly start: number; readonly end: number }[] =
    [];
  let text = '';
  let done = 0;
  for (const { name, fallback, start, end } of placeholders(raw)) {
    const given = values.get(name) ?? fallback ?? dummy;
    if (given === undefined && missing.length < MOST_DIAGNOSTICS)
      missing.push({ name: name.trim(), written: name, start, end });
    const value = given ?? name.replace(/\W/g, '');
    text += raw.slice(done, start);
    replacements.push({ at: text.length, length: value.length, rawAt: start, rawLength: end - start });
    text += value;
    done = end;
  }
  text += raw.slice(done);
  const source = new SourceText(file, raw, replacements);
  const diagnostics = [
    ...missing.map(({ name, written, start, end }): Diagnostic => {
      const suggestion =
        written !== name && values.has(name)
          ? `write \${{${name}}} without spaces`
          : `give it with --substitute ${name}=VALUE, or write a default: \${{${name}:default}}`;
      const span = source.rawSpan(start, end);
      return {
        severity: 'error',
        rule: 'substitution-missing',
        message: `no value for substitution ${name}`,
        span,
        suggestion,
      };
    }),
    ...bareUses(raw, source, values),
  ];
  const unfilled = missing.map(({ name, start, end }) => ({ name, span: source.rawSpan(start, end) }));
  return { text, source, diagnostics, missing: unfilled };
}

/** Of a bare `${NAME:default}`, so that one look at each dollar costs a bounded amount. */
const LONGEST_DEFAULT = 200;
const MOST_DIAGNOSTICS = 100;

interface Placeholder {
  readonly name: string;
  readonly fallback: string | undefined;
  readonly start: number;
  readonly end: number;
}

/** Every `${{…}}` without `}` inside, leftmost first; linear also where thousands of them are never closed. */
function* placeholders(raw: string): Generator<Placeholder> {
  let brace = -1;
  let start = raw.indexOf('${{');
  while (start >= 0) {
    if (brace < start + 3) brace = raw.indexOf('}', start + 3);
    if (brace < 0) return;
    const closed = raw[brace + 1] === '}';
    if (closed) {
      const content = raw.slice(start + 3, brace);
      const colon = content.indexOf(':');
      const name = colon < 0 ? content : content.slice(0, colon);
      yield { name, fallback: colon < 0 ? undefined : content.slice(colon + 1), start, end: brace + 2 };
    }
    start = raw.indexOf('${{', closed ? brace + 2 : start + 3);
  }
}

function bareUses(raw: string, source: SourceText, values: ReadonlyMap<string, string>): Diagnostic[] {
  const diagnostics: Diagnostic[] = [];
  if (values.size === 0) return diagnostics;
  for (const match of raw.matchAll(/\$(\{)?(\w+)/g)) {
    const name = match[2]!;
    if (!values.has(name)) continue;
    let end = match.index + match[0].length;
    if (match[1] !== undefined) {
      const tail = /^(?::[^}\n]*)?\}/.exec(raw.slice(end, end + LONGEST_DEFAULT));
      if (tail === null) continue;
      end += tail[0].length;
    }
    if (diagnostics.length === MOST_DIAGNOSTICS) break;
    const written = raw.slice(match.index, end);
    const fallback = /^\$\{\w+(:[^}]*)\}$/.exec(written)?.[1] ?? '';
    diagnostics.push({
      severity: 'error',
      rule: 'substitution-form',
      message: `${written} is not replaced, although a value for ${name} was given`,
      span: source.rawSpan(match.index, end),
      suggestion: `write \${{${name}${fallback}}} to have it replaced`,
    });
  }
  return diagnostics;
}
