/** Why a command line cannot be split; `at` is the offset of the offending character. */
export interface ShellSplitProblem {
  readonly message: string;
  readonly at: number;
}

/**
 * Splits a command as a POSIX shell splits words (XCU 2.2 "Quoting"), without expanding anything: `$VAR`, globs, `;` and
 * `|` are ordinary characters, and `#` starts no comment.
 */
export function shellSplit(text: string): readonly string[] | ShellSplitProblem {
  const words: string[] = [];
  let word: string | undefined;
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    if (char === ' ' || char === '\t' || char === '\n' || char === '\r') {
      if (word !== undefined) words.push(word);
      word = undefined;
      at++;
    } else if (char === "'" || char === '"') {
      const quoted = char === "'" ? singleQuoted(text, at) : doubleQuoted(text, at);
      if (quoted === undefined) return { message: `the quote ${char} is not closed`, at };
      word = (word ?? '') + quoted.value;
      at = quoted.end;
    } else if (char === '\\') {
      const next = text[at + 1];
      if (next === undefined) return { message: 'a backslash at the end escapes nothing', at };
      // A backslash before a newline continues the line: both vanish.
      if (next !== '\n') word = (word ?? '') + next;
      at += 2;
    } else {
      word = (word ?? '') + char;
      at++;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

interface Quoted {
  readonly value: string;
  readonly end: number;
}

function singleQuoted(text: string, start: number): Quoted | undefined {
  const close = text.indexOf("'", start + 1);
  return close < 0 ? undefined : { value: text.slice(start + 1, close), end: close + 1 };
}

function doubleQuoted(text: string, start: number): Quoted | undefined {
  let value = '';
  for (let at = start + 1; at < text.length; at++) {
    const char = text[at]!;
    if (char === '"') return { value, end: at + 1 };
    if (char !== '\\') {
      value += char;
      continue;
    }
    const next = text[++at];
    if (next === undefined) return undefined;
    if (next !== '\n') value += '$`"\\'.includes(next) ? next : `\\${next}`;
  }
  return undefined;
}
