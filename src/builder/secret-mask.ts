import { StringDecoder } from 'node:string_decoder';

const SHOWN = '***';

/** Shorter words are found in too much that is no secret. */
const SHORTEST = 4;

/** What comes in lines may have been cut at this length, in characters; see `LineTail`. */
const CUT = 4096;

/**
 * Hides secrets in what a step writes, line by line, since that is how most tools show a file of several lines. A line
 * of fewer than four characters is hidden only where it stands alone.
 */
export class SecretMask {
  /** Longest first. */
  readonly #words: readonly string[];
  readonly #short: ReadonlySet<string>;
  /** Streams whose last line may have been cut. */
  readonly #cut = new Set<string>();

  constructor(values: readonly Uint8Array[]) {
    const lines = [...new Set(values.flatMap(linesOf))];
    this.#words = lines.filter(line => line.length >= SHORTEST).toSorted((a, b) => b.length - a.length);
    this.#short = new Set(lines.filter(line => line.length < SHORTEST));
  }

  get isEmpty(): boolean {
    return this.#words.length === 0 && this.#short.size === 0;
  }

  /** A line of a stream as it may be shown; lines of one stream come in order. */
  line(stream: string, line: string): string {
    if (this.isEmpty) return line;
    const isRest = this.#cut.delete(stream);
    const isCut = line.length >= CUT;
    if (isCut) this.#cut.add(stream);
    if (this.#short.has(line.trim())) return line.replace(line.trim(), SHOWN);
    if (isRest && isCut && this.#words.some(word => word.includes(line))) return SHOWN;
    const text = isRest ? this.#hideEnd(line) : line;
    const begun = isCut ? beginning(text, this.#words) : 0;
    return this.#hide(begun < SHORTEST ? text : text.slice(0, text.length - begun) + SHOWN);
  }

  /** For a terminal, where a line may be shown before it ends. */
  stream(): { push(bytes: Uint8Array): string; end(): string } {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    return {
      push: bytes => {
        const text = this.#hide(rest + decoder.write(Buffer.from(bytes)));
        const held = beginning(text, this.#words);
        rest = text.slice(text.length - held);
        return text.slice(0, text.length - held);
      },
      end: () => {
        const text = rest + decoder.end();
        rest = '';
        return text;
      },
    };
  }

  #hide(text: string): string {
    return this.#words.reduce((shown, word) => shown.replaceAll(word, SHOWN), text);
  }

  /** Takes the end of a word away that a text begins with. */
  #hideEnd(text: string): string {
    for (const word of this.#words) {
      for (let length = Math.min(word.length - 1, text.length); length >= SHORTEST; length--) {
        if (text.startsWith(word.slice(word.length - length))) return SHOWN + text.slice(length);
      }
    }
    return text;
  }
}

/** How many characters at the end of a text may be the beginning of a word. */
function beginning(text: string, words: readonly string[]): number {
  let longest = 0;
  for (const word of words) {
    for (let length = Math.min(word.length - 1, text.length); length > longest; length--) {
      if (word.startsWith(text.slice(text.length - length))) longest = length;
    }
  }
  return longest;
}

/** How many lines of a secret, such as a whole PIN, are too short to be hidden wherever they are. */
export function shortLines(value: Uint8Array): number {
  return linesOf(value).filter(line => line.length < SHORTEST && /[\p{L}\p{N}]/u.test(line)).length;
}

function linesOf(value: Uint8Array): string[] {
  const lines = Buffer.from(value)
    .toString('utf8')
    .split(/\r\n|\r|\n/);
  return lines.map(line => line.trim()).filter(line => line !== '');
}
