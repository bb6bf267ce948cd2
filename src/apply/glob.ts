import { byteString } from '../core/host-text.ts';

/** Tells whether a byte string matches; never throws and takes no more than a product of the lengths. */
export type Matcher = (path: string) => boolean;

const MOST_ALTERNATIVES = 256;
const DEEP = '**';

type Token =
  /** Any run of bytes of one name. */
  | { readonly kind: 'run' }
  /** One character. */
  | { readonly kind: 'one' }
  | { readonly kind: 'byte'; readonly byte: string }
  | { readonly kind: 'set'; readonly negated: boolean; readonly ranges: readonly (readonly [string, string])[] };

type Part = typeof DEEP | readonly Token[];

/**
 * Compiles a glob over absolute paths: `*` for any run of characters of a name, `?` for one, `[a-z]` and `[!a-z]`, `{a,b}`,
 * and a name `**` for any number of names, none included. A backslash takes the meaning from what follows. Names that
 * begin with a dot are names like others. Matching steps back to the last wildcard alone, so that no glob takes
 * exponential time. `undefined` for one whose braces stand for too many.
 */
export function compileGlob(glob: string): Matcher | undefined {
  const alternatives = expandBraces(byteString(glob));
  if (alternatives === undefined) return undefined;
  const compiled = alternatives.map(text => text.split('/').map(name => (name === DEEP ? DEEP : tokens(name))));
  return path => {
    const names = path.split('/');
    return compiled.some(parts => matchParts(parts, names));
  };
}

/** Texts that a glob with braces stands for; braces without a comma are characters. */
function expandBraces(glob: string): readonly string[] | undefined {
  const done: string[] = [];
  const pending = [glob];
  for (let text = pending.pop(); text !== undefined; text = pending.pop()) {
    const braces = findBraces(text);
    if (braces === undefined) done.push(text);
    else
      for (const option of braces.options) pending.push(text.slice(0, braces.start) + option + text.slice(braces.end));
    if (done.length + pending.length > MOST_ALTERNATIVES) return undefined;
  }
  return done;
}

/** The first innermost braces that hold a comma. */
function findBraces(text: string): { start: number; end: number; options: readonly string[] } | undefined {
  let commas: number[] = [];
  let start = -1;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '\\') at++;
    else if (character === '{') [start, commas] = [at, []];
    else if (character === ',') commas.push(at);
    else if (character === '}' && start >= 0) {
      if (commas.length > 0) {
        const cuts = [start, ...commas, at];
        const options = cuts.slice(1).map((cut, index) => text.slice(cuts[index]! + 1, cut));
        return { start, end: at + 1, options };
      }
      start = -1;
    }
  }
  return undefined;
}

function tokens(name: string): readonly Token[] {
  const found: Token[] = [];
  for (let at = 0; at < name.length; at++) {
    const character = name[at]!;
    if (character === '*') {
      if (found.at(-1)?.kind !== 'run') found.push({ kind: 'run' });
    } else if (character === '?') found.push({ kind: 'one' });
    else if (character === '\\' && at + 1 < name.length) found.push({ kind: 'byte', byte: name[++at]! });
    else {
      const set = character === '[' ? /^\[([!^]?)(\]?(?:\\.|[^\]\\])*)\]/s.exec(name.slice(at)) : null;
      if (set === null || set[2] === '') found.push({ kind: 'byte', byte: character });
      else {
        found.push({ kind: 'set', negated: set[1] !== '', ranges: rangesOf(set[2]!) });
        at += set[0].length - 1;
      }
    }
  }
  return found;
}

function rangesOf(text: string): (readonly [string, string])[] {
  const ranges: (readonly [string, string])[] = [];
  for (const [, from, to] of text.matchAll(/(\\?.)(?:-(\\?.))?/gs)) {
    const first = from!.slice(-1);
    ranges.push([first, to?.slice(-1) ?? first]);
  }
  return ranges;
}

/** Stepping back to the last `**` is enough: whatever an earlier one could take, the later one can. */
function matchParts(parts: readonly Part[], names: readonly string[]): boolean {
  let [part, name] = [0, 0];
  let back: { readonly part: number; name: number } | undefined;
  while (name < names.length) {
    const wanted = parts[part];
    if (wanted === DEEP) {
      back = { part: ++part, name };
      continue;
    }
    if (wanted !== undefined && matchName(wanted, names[name]!)) {
      part++;
      name++;
      continue;
    }
    if (back === undefined) return false;
    [part, name] = [back.part, ++back.name];
  }
  while (parts[part] === DEEP) part++;
  return part === parts.length;
}

/** The same for the wildcards of one name. */
function matchName(wanted: readonly Token[], name: string): boolean {
  let [token, at] = [0, 0];
  let back: { readonly token: number; at: number } | undefined;
  while (at < name.length) {
    const next = wanted[token];
    if (next?.kind === 'run') {
      back = { token: ++token, at };
      continue;
    }
    const taken = next === undefined ? 0 : bytesTaken(next, name, at);
    if (taken > 0) {
      token++;
      at += taken;
      continue;
    }
    if (back === undefined) return false;
    [token, at] = [back.token, ++back.at];
  }
  while (wanted[token]?.kind === 'run') token++;
  return token === wanted.length;
}

/** How many bytes a token takes; 0 where it does not match. */
function bytesTaken(token: Exclude<Token, { kind: 'run' }>, name: string, at: number): number {
  const byte = name[at]!;
  if (token.kind === 'byte') return byte === token.byte ? 1 : 0;
  if (token.kind === 'set')
    return token.ranges.some(([from, to]) => byte >= from && byte <= to) === token.negated ? 0 : 1;
  let end = at + 1;
  // One character of UTF-8 has as many bytes as its first one says and continuations follow.
  const most = byte >= '\xf0' ? 4 : byte >= '\xe0' ? 3 : byte >= '\xc0' ? 2 : 1;
  while (end < at + most && name[end] !== undefined && name[end]! >= '\x80' && name[end]! <= '\xbf') end++;
  return end - at;
}
