import { canonicalJson, type JsonValue } from './canonical-json.ts';
import { StkError } from './errors.ts';

/** Deeper than any document that a tool writes; what is deeper is meant to exhaust the stack or the time. */
const MAX_DEPTH = 100;

/** Of JSON (RFC 8259) that is known to be right. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{}:,]|[^\s[\]{}:,"]+/g;

/** A value as a document writes it, without white space. */
interface Written {
  readonly text: string;
  /** Of an array. */
  readonly items?: readonly Written[];
  /** Of an object, by name. */
  readonly members?: ReadonlyMap<string, { readonly name: string; readonly value: Written }>;
}

/**
 * A value as JSON without white space, written as a document writes it wherever both say the same: members in the
 * document's order, numbers with all their digits, `null` where the value has no such member. `JSON.stringify` of what
 * `JSON.parse` gave loses all three. Entries of lists are known by their value, members of objects by their name.
 * @param source JSON that `JSON.parse` takes; throws `invalid-input` where it is nested more than 100 deep
 */
export function jsonLike(value: unknown, source: string): string {
  return write(value, new WrittenReader(source).read(0));
}

/** JSON over several lines, as `JSON.stringify` with an indent of two; every value stays as it is written. */
export function indentJson(text: string): string {
  let depth = 0;
  let before = '';
  let indented = '';
  for (const [token] of text.matchAll(TOKENS)) {
    const closes = token === ']' || token === '}';
    if (closes) depth--;
    const opened = before === '[' || before === '{';
    if (opened ? !closes : closes || before === ',') indented += `\n${'  '.repeat(depth)}`;
    indented += token === ':' ? ': ' : token;
    if (token === '[' || token === '{') depth++;
    before = token;
  }
  return indented;
}

function write(value: unknown, like: Written | undefined): string {
  if (like?.items && Array.isArray(value)) return writeArray(value, like.items);
  if (like?.members && isObject(value)) return writeObject(value, like.members);
  // Programs written in Go write an empty list as null.
  if (like?.text === 'null' && Array.isArray(value) && value.length === 0) return 'null';
  const isScalar = like && !like.items && !like.members;
  return isScalar && Object.is(JSON.parse(like.text), value) ? like.text : plain(value);
}

function writeArray(value: readonly unknown[], like: readonly Written[]): string {
  const identity = (item: unknown) => canonicalJson((withoutNulls(item) ?? null) as JsonValue);
  const known = new Map(like.map(item => [identity(JSON.parse(item.text)), item]));
  return `[${value.map(item => known.get(identity(item))?.text ?? plain(item)).join(',')}]`;
}

function writeObject(value: object, like: NonNullable<Written['members']>): string {
  const rest = new Map(Object.entries(value).filter(([, member]) => member !== undefined));
  const members: string[] = [];
  for (const [key, { name, value: written }] of like) {
    if (rest.has(key)) members.push(`${name}:${write(rest.get(key), written)}`);
    else if (written.text === 'null') members.push(`${name}:null`);
    rest.delete(key);
  }
  for (const [key, member] of rest) members.push(`${JSON.stringify(key)}:${plain(member)}`);
  return `{${members.join(',')}}`;
}

/** Members that are null say no more than absent ones. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isObject(value)) return value;
  const present = Object.entries(value).filter(([, member]) => member !== null && member !== undefined);
  return Object.fromEntries(present.map(([key, member]) => [key, withoutNulls(member)]));
}

function plain(value: unknown): string {
  return JSON.stringify(value ?? null);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reads JSON (RFC 8259) that is known to be right. */
class WrittenReader {
  readonly #tokens: RegExpStringIterator<RegExpExecArray>;

  constructor(source: string) {
    this.#tokens = source.matchAll(TOKENS);
  }

  read(depth: number): Written {
    return this.#value(this.#next(), depth);
  }

  #next(): string {
    const { value } = this.#tokens.next();
    if (value === undefined) throw new StkError('invalid-input', 'a JSON document ends too early');
    return value[0];
  }

  #value(token: string, depth: number): Written {
    if (depth > MAX_DEPTH) throw new StkError('invalid-input', `JSON is nested more than ${MAX_DEPTH} deep`);
    if (token === '[') return this.#array(depth);
    return token === '{' ? this.#object(depth) : { text: token };
  }

  #array(depth: number): Written {
    const items: Written[] = [];
    for (let token = this.#next(); token !== ']'; token = this.#next()) {
      if (token !== ',') items.push(this.#value(token, depth + 1));
    }
    return { text: `[${items.map(item => item.text).join(',')}]`, items };
  }

  #object(depth: number): Written {
    const members = new Map<string, { name: string; value: Written }>();
    for (let name = this.#next(); name !== '}'; name = this.#next()) {
      if (name === ',') continue;
      this.#next();
      members.set(JSON.parse(name) as string, { name, value: this.read(depth + 1) });
    }
    const text = [...members.values()].map(member => `${member.name}:${member.value.text}`).join(',');
    return { text: `{${text}}`, members };
  }
}
