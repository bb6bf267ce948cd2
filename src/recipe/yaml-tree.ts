import {
  Composer,
  Lexer,
  Parser,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  type Alias,
  type CST,
  type Document,
  type Node,
  type Scalar,
} from 'yaml';
import type { JsonValue } from '../core/canonical-json.ts';
import { YAML_LIMITS } from './yaml-limits.ts';

/** Offsets into the parsed text, end exclusive. */
export interface TextRange {
  readonly start: number;
  readonly end: number;
}

/** A YAML value with its place: aliases resolved, merge keys applied, keys unique and turned into strings. */
export type YamlNode = YamlMap | YamlList | YamlScalar;

export interface YamlScalar {
  readonly kind: 'scalar';
  readonly value: string | number | boolean | null;
  /** The text of a plain scalar, the value of a quoted or block scalar; the empty string for null. */
  readonly source: string;
  readonly plain: boolean;
  readonly range: TextRange;
}

export interface YamlList {
  readonly kind: 'list';
  readonly items: readonly YamlNode[];
  readonly range: TextRange;
}

export interface YamlMap {
  readonly kind: 'map';
  readonly entries: ReadonlyMap<string, YamlEntry>;
  readonly range: TextRange;
}

export interface YamlEntry {
  readonly key: TextRange;
  readonly value: YamlNode;
}

export interface YamlProblem {
  readonly rule: string;
  readonly message: string;
  readonly range: TextRange;
  readonly suggestion?: string;
}

/** Reads one YAML 1.2 document. With any problem the tree is `undefined`. */
export function parseYamlTree(text: string): { readonly root: YamlNode | undefined; readonly problems: YamlProblem[] } {
  const nul = text.indexOf('\0');
  if (nul >= 0) {
    const message = 'the file holds a NUL byte: it is not a text file';
    return refused({ rule: 'yaml-syntax', message, range: { start: nul, end: nul + 1 } });
  }
  if (text.length > YAML_LIMITS.textLength) {
    const message = `the file is too large: ${text.length} characters`;
    const suggestion = 'a recipe holds at most 4 MiB';
    return refused({ rule: 'yaml-limit', message, range: { start: 0, end: 0 }, suggestion });
  }
  const tokens = cstTokens(text);
  if ('problem' in tokens) return { root: undefined, problems: [tokens.problem] };
  const composer = new Composer({
    uniqueKeys: false,
    merge: false,
    prettyErrors: false,
    strict: true,
    logLevel: 'silent',
  });
  const documents: Document.Parsed[] = [];
  for (const token of tokens.tokens) for (const document of composer.next(token)) documents.push(document);
  for (const document of composer.end(true, text.length)) documents.push(document);
  const [document, second] = documents;
  if (document === undefined) return { root: undefined, problems: [] };
  if (second !== undefined) {
    const at = second.range[0];
    const message = 'the file holds more than one YAML document';
    const suggestion = 'write one recipe per file';
    return refused({ rule: 'yaml-syntax', message, range: { start: at, end: at }, suggestion });
  }
  const builder = new TreeBuilder(text);
  for (const error of document.errors.slice(0, YAML_LIMITS.problems)) {
    builder.problem('yaml-syntax', sentence(error.message), { start: error.pos[0], end: error.pos[1] });
  }
  const root = document.contents === null || builder.problems.length > 0 ? undefined : builder.build(document.contents);
  return { root: builder.problems.length > 0 ? undefined : root, problems: builder.problems };
}

/** The tree without places, for a schema validator. */
export function plainValue(node: YamlNode): JsonValue {
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'list') return node.items.map(plainValue);
  // A null prototype, so that a key such as `__proto__` is a member like any other.
  const members: Record<string, JsonValue> = Object.create(null) as Record<string, JsonValue>;
  for (const [key, entry] of node.entries) members[key] = plainValue(entry.value);
  return members;
}

function refused(problem: YamlProblem) {
  return { root: undefined, problems: [problem] };
}

/** The CST parser is driven lexeme by lexeme, because the composer after it recurses over whatever depth it is given. */
function cstTokens(text: string): { readonly tokens: CST.Token[] } | { readonly problem: YamlProblem } {
  const parser = new Parser();
  const tokens: CST.Token[] = [];
  let lexemes = 0;
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token);
    const range = { start: parser.offset, end: parser.offset };
    if (parser.stack.length > YAML_LIMITS.depth) {
      return { problem: { rule: 'yaml-limit', message: 'the file is nested too deeply', range } };
    }
    if (++lexemes > YAML_LIMITS.lexemes) {
      return { problem: { rule: 'yaml-limit', message: 'the file holds too many YAML tokens', range } };
    }
  }
  for (const token of parser.end()) tokens.push(token);
  return { tokens };
}

function sentence(message: string): string {
  const first = message.split('\n')[0]!.trim();
  return first.charAt(0).toLowerCase() + first.slice(1);
}

class TreeBuilder {
  readonly problems: YamlProblem[] = [];
  readonly #text: string;
  /** What an alias stands for and costs; `open` while it is being built: an alias to it would be a tree without end. */
  readonly #anchors = new Map<
    string,
    { readonly built: YamlNode; readonly nodes: number; readonly length: number } | 'open'
  >();
  #nodes = 0;
  #scalarLength = 0;
  #exhausted = false;

  constructor(text: string) {
    this.#text = text;
  }

  problem(rule: string, message: string, range: TextRange, suggestion?: string): void {
    if (this.problems.length >= YAML_LIMITS.problems) return;
    this.problems.push({ rule, message, range, ...(suggestion === undefined ? {} : { suggestion }) });
  }

  build(node: Node): YamlNode {
    const range = this.#rangeOf(node);
    if (++this.#nodes > YAML_LIMITS.nodes) return this.#exhaust(range);
    if (isAlias(node)) return this.#buildAlias(node.source, range);
    if (node.tag !== undefined && !isKnownTag(node.tag)) {
      this.problem('yaml-syntax', `the tag ${node.tag} has no meaning in a recipe`, range, 'remove the tag');
      return nullScalar(range);
    }
    if (node.anchor === undefined) return this.#buildBare(node, range);
    const [nodes, length] = [this.#nodes, this.#scalarLength];
    this.#anchors.set(node.anchor, 'open');
    const built = this.#buildBare(node, range);
    this.#anchors.set(node.anchor, { built, nodes: this.#nodes - nodes + 1, length: this.#scalarLength - length });
    return built;
  }

  #buildBare(node: Exclude<Node, Alias>, range: TextRange): YamlNode {
    if (isScalar(node)) return this.#buildScalar(node, range);
    return isMap(node) ? this.#buildMap(node.items, range) : this.#buildList(node.items, range);
  }

  /** Block collections end with their last line; the line breaks after it are no part of what a reader sees. */
  #rangeOf(node: Node): TextRange {
    const start = node.range?.[0] ?? 0;
    let end = node.range?.[1] ?? start;
    if (isCollection(node)) while (end > start && /\s/.test(this.#text[end - 1]!)) end--;
    return { start, end };
  }

  #exhaust(range: TextRange): YamlNode {
    if (!this.#exhausted) this.problem('yaml-limit', 'the file is too large once its aliases are expanded', range);
    this.#exhausted = true;
    return nullScalar(range);
  }

  #buildAlias(name: string, range: TextRange): YamlNode {
    const target = this.#anchors.get(name);
    if (target === undefined || target === 'open') {
      const why = target === undefined ? 'no anchor of that name comes before it' : 'the anchor contains it';
      this.problem('yaml-syntax', `the alias *${name} cannot be resolved: ${why}`, range);
      return nullScalar(range);
    }
    this.#nodes += target.nodes;
    this.#scalarLength += target.length;
    const excessive = this.#nodes > YAML_LIMITS.nodes || this.#scalarLength > YAML_LIMITS.scalarLength;
    return excessive ? this.#exhaust(range) : target.built;
  }

  #buildScalar(node: Scalar, range: TextRange): YamlScalar {
    const plain = node.type === 'PLAIN' || node.type === undefined;
    const { value } = node;
    const source = plain ? (node.source ?? '') : String(value);
    this.#scalarLength += source.length;
    if (this.#scalarLength > YAML_LIMITS.scalarLength) this.#exhaust(range);
    if (source.includes('\0')) this.problem('yaml-syntax', 'a string cannot hold NUL', range);
    if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
      return { kind: 'scalar', value, source: value === null ? '' : source, plain, range };
    }
    return { kind: 'scalar', value: source, source, plain, range };
  }

  #buildList(items: readonly unknown[], range: TextRange): YamlList {
    const built: YamlNode[] = [];
    for (const item of items) {
      if (this.#exhausted) break;
      built.push(isNode(item) ? this.build(item) : nullScalar(range));
    }
    return { kind: 'list', items: built, range };
  }

  #buildMap(pairs: readonly { readonly key: unknown; readonly value: unknown }[], range: TextRange): YamlMap {
    const entries = new Map<string, YamlEntry>();
    const merged: YamlNode[] = [];
    for (const pair of pairs) {
      if (this.#exhausted) break;
      const key = isNode(pair.key) ? this.build(pair.key) : nullScalar(range);
      const value = isNode(pair.value) ? this.build(pair.value) : nullScalar(endOf(key.range));
      if (key.kind !== 'scalar') {
        this.problem('yaml-syntax', 'a key must be a string', key.range);
      } else if (key.plain && key.source === '<<') {
        for (const source of value.kind === 'list' ? value.items : [value]) merged.push(source);
      } else if (entries.has(key.source)) {
        this.problem('duplicate-key', `duplicate key ${key.source}`, key.range, 'keep one of them');
      } else {
        entries.set(key.source, { key: key.range, value });
      }
    }
    for (const source of merged) this.#merge(entries, source);
    return { kind: 'map', entries, range };
  }

  /** Merge keys of YAML 1.1 (yaml.org/type/merge): what the map or an earlier source holds wins. */
  #merge(entries: Map<string, YamlEntry>, source: YamlNode): void {
    if (source.kind !== 'map') {
      this.problem('yaml-syntax', 'a merge key (<<) takes a map or a list of maps', source.range);
      return;
    }
    for (const [key, entry] of source.entries) if (!entries.has(key)) entries.set(key, entry);
  }
}

function isNode(value: unknown): value is Node {
  return isScalar(value) || isCollection(value) || isAlias(value);
}

function isKnownTag(tag: string): boolean {
  return tag === '!' || /^tag:yaml\.org,2002:(?:str|int|float|bool|null|map|seq)$/.test(tag);
}

function endOf(range: TextRange): TextRange {
  return { start: range.end, end: range.end };
}

function nullScalar(range: TextRange): YamlScalar {
  return { kind: 'scalar', value: null, source: '', plain: true, range };
}
