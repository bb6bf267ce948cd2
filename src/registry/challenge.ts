/** One challenge of a WWW-Authenticate header (RFC 9110, section 11.6.1). */
export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** Longer headers than this are ignored. */
const MAX_HEADER_LENGTH = 8192;
const MAX_CHALLENGES = 16;
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const SPACE = /[ \t]*/y;
const SEPARATORS = /[ \t,]*/y;
const TOKEN68 = /[0-9A-Za-z._~+/-]+=*(?=[ \t]*(?:,|$))/y;

/** Parses a header, several joined by commas included. What cannot be read ends the list; it never throws. */
export function parseChallenges(header: string | undefined): readonly Challenge[] {
  if (header === undefined || header.length > MAX_HEADER_LENGTH) return [];
  const scanner = new Scanner(header);
  const challenges: Challenge[] = [];
  while (challenges.length < MAX_CHALLENGES) {
    scanner.take(SEPARATORS);
    const scheme = scanner.take(TOKEN);
    if (scheme === '') break;
    challenges.push({ scheme: scheme.toLowerCase(), parameters: takeParameters(scanner) });
  }
  return challenges;
}

function takeParameters(scanner: Scanner): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  scanner.take(SPACE);
  // A token68 instead of parameters, which no scheme used by registries carries.
  if (scanner.take(TOKEN68) !== '') return parameters;
  for (;;) {
    const start = scanner.position;
    scanner.take(SEPARATORS);
    const name = scanner.take(TOKEN);
    scanner.take(SPACE);
    if (name === '' || !scanner.takeText('=')) {
      // No parameter but the next challenge's scheme.
      scanner.position = start;
      return parameters;
    }
    scanner.take(SPACE);
    const value = scanner.takeText('"') ? scanner.takeQuoted() : scanner.take(TOKEN);
    if (value === undefined) return parameters;
    if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), value);
  }
}

class Scanner {
  position = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** Takes what a sticky pattern matches here; the empty string if it does not. */
  take(pattern: RegExp): string {
    pattern.lastIndex = this.position;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.position += found.length;
    return found;
  }

  takeText(text: string): boolean {
    if (!this.#text.startsWith(text, this.position)) return false;
    this.position += text.length;
    return true;
  }

  /** The rest of a quoted string; `undefined` if it does not end. */
  takeQuoted(): string | undefined {
    let value = '';
    for (; this.position < this.#text.length; this.position++) {
      let char = this.#text[this.position]!;
      if (char === '"') {
        this.position++;
        return value;
      }
      if (char === '\\') char = this.#text[++this.position] ?? '';
      value += char;
    }
    return undefined;
  }
}
