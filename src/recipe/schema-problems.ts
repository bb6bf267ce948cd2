import { nearest } from '../core/diagnostics.ts';
import { booleanOf } from './node-access.ts';
import type { Problems } from './problems.ts';
import { schemaKeys, validateRecipeSchema, type SchemaError } from './recipe-validator.generated.ts';
import { plainValue, type TextRange, type YamlNode } from './yaml-tree.ts';

/** Places of maps in which stackerfiles may hold keys that nothing reads; elsewhere an unknown key is an error. */
const LENIENT = new Set(['config', '*/imports/[]', '*/import/[]', '*/binds/[]', '*/overlay_dirs/[]']);
const MOST_ERRORS = 500;

/** Validates a recipe's tree against the schema and says what is wrong in the words of the recipe. */
export function checkSchema(root: YamlNode, problems: Problems): void {
  for (const error of validateRecipeSchema(plainValue(root)).slice(0, MOST_ERRORS)) {
    // Names of images are judged where the images are read.
    if (error.keyword === 'propertyNames' || error.propertyName !== undefined) continue;
    report(error, locate(root, error.instancePath), problems);
  }
}

interface Location {
  readonly node: YamlNode;
  /** As in `schemaKeys`. */
  readonly place: string;
  /** `run`, `an item of binds`, `the image app`. */
  readonly label: string;
  /** Of the value, or of its key where the value is empty. */
  readonly range: TextRange;
}

function locate(root: YamlNode, instancePath: string): Location {
  let node = root;
  let range = root.range;
  const place: string[] = [];
  let label = 'a recipe';
  for (const segment of instancePath.split('/').slice(1)) {
    const key = segment.replaceAll('~1', '/').replaceAll('~0', '~');
    if (node.kind === 'list') {
      node = node.items[Number(key)] ?? node;
      label = `an item of ${label}`;
      place.push('[]');
      range = node.range;
    } else if (node.kind === 'map') {
      const entry = node.entries.get(key);
      label = place.length === 0 && key !== 'config' ? `the image ${key}` : key;
      place.push(place.length === 0 && key !== 'config' ? '*' : key);
      if (place.at(-2) === 'conflicts') label = `the resolution of ${key}`;
      if (entry !== undefined) [node, range] = [entry.value, rangeOrKey(entry.value, entry.key)];
    }
  }
  return { node, place: place.join('/'), label, range };
}

function rangeOrKey(value: YamlNode, key: TextRange): TextRange {
  const empty = value.kind === 'scalar' && value.source === '' && value.plain;
  return empty ? key : value.range;
}

function report(error: SchemaError, at: Location, problems: Problems): void {
  switch (error.keyword) {
    case 'additionalProperties':
      return reportUnknownKey(String(error.params['additionalProperty']), at, problems);
    case 'required':
      return reportMissingKey(String(error.params['missingProperty']), at, problems);
    case 'type':
      return reportType(error.params['type'], at, problems);
    case 'enum':
      return reportChoice(error.params['allowedValues'], at, problems);
    case 'minimum':
      return problems.error('invalid-value', `'${at.label}' (${shown(at.node)}) cannot be negative`, at.range);
    case 'maximum':
      return problems.error('invalid-value', `'${at.label}' (${shown(at.node)}) is too large`, at.range);
    case 'minLength':
      return problems.error('invalid-value', `${at.label} cannot be empty`, at.range);
    default:
      return reportForm(at, problems);
  }
}

function reportUnknownKey(key: string, at: Location, problems: Problems): void {
  const range = at.node.kind === 'map' ? (at.node.entries.get(key)?.key ?? at.range) : at.range;
  const near = nearest(key, schemaKeys[at.place] ?? []);
  const suggestion = near === undefined ? undefined : `did you mean ${near}?`;
  if (LENIENT.has(at.place)) {
    const where = at.place === 'config' ? 'config' : at.place.split('/')[1]!;
    problems.warning('unknown-directive', `${where}: unknown key ${key} is ignored`, range, suggestion);
  } else if (at.place === '*/from') {
    problems.error('unknown-directive', `stackerfile: unknown image source directive ${key}`, range, suggestion);
  } else if (at.place === '*') {
    problems.error('unknown-directive', `stackerfile: unknown directive ${key}`, range, suggestion);
  } else {
    problems.error('unknown-directive', `${at.label}: unknown key ${key}`, range, suggestion);
  }
}

function reportMissingKey(key: string, at: Location, problems: Problems): void {
  if (at.place === '*' || at.place === '*/from') {
    const suggestion =
      at.place === '*' ? 'write from: scratch for an empty base' : 'write type: docker, oci, tar, built or scratch';
    return problems.error('missing-base', 'invalid layer: no base (from directive)', at.range, suggestion);
  }
  if (at.place === '*/binds/[]') {
    return problems.error('missing-key', `unexpected 'bind': missing required field '${key}'`, at.range);
  }
  problems.error('missing-key', `${at.label} needs ${key}`, at.range);
}

function reportType(wanted: unknown, at: Location, problems: Problems): void {
  if (booleanOf(at.node) !== undefined && wantsBoolean(wanted)) return;
  if ((at.place === '*/os' || at.place === '*/arch') && kindOf(at.node) === 'empty') {
    return problems.error('invalid-type', `stackerfile: "${at.label}" value cannot be empty`, at.range);
  }
  if (at.place === '*/imports' || at.place === '*/import') {
    const message = `'${at.label}' expected an array, found ${kindOf(at.node)}`;
    return problems.error('invalid-type', message, at.range, 'write a list: - path');
  }
  const kinds = [wanted].flat().filter(kind => kind !== 'null');
  const names = new Set(kinds.map(kind => TYPE_NAMES[String(kind)] ?? String(kind)));
  // Where a string may stand, numbers and booleans are only other spellings of one.
  if (names.has('a string')) for (const spelling of ['a number', 'true or false']) names.delete(spelling);
  const message = `${at.label} must be ${oneOf([...names])}, not ${kindOf(at.node)}`;
  problems.error('invalid-type', message, at.range);
}

function wantsBoolean(wanted: unknown): boolean {
  return [wanted].flat().includes('boolean');
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  object: 'a map',
  array: 'a list',
  string: 'a string',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
};

function kindOf(node: YamlNode): string {
  if (node.kind !== 'scalar') return node.kind === 'map' ? 'a map' : 'a list';
  if (node.value === null) return 'empty';
  return typeof node.value === 'string' ? 'a string' : typeof node.value === 'number' ? 'a number' : 'a boolean';
}

function reportChoice(allowed: unknown, at: Location, problems: Problems): void {
  const words = Array.isArray(allowed) ? allowed.map(String) : [];
  const near = nearest(shown(at.node), words);
  const suggestion = near === undefined ? undefined : `did you mean ${near}?`;
  const message =
    at.place === '*/from/type'
      ? `unknown image source type: ${shown(at.node)} is none of ${words.join(', ')}`
      : `${at.label} must be ${oneOf(words)}, not ${shown(at.node)}`;
  problems.error('invalid-value', message, at.range, suggestion);
}

function reportForm(at: Location, problems: Problems): void {
  const rule = FORMS.find(([place]) => place.test(at.place));
  problems.error(
    rule?.[2] ?? 'invalid-value',
    `${at.label} ${rule?.[1] ?? 'is malformed'}: ${shown(at.node)}`,
    at.range,
  );
}

/** What the patterns of the schema mean. */
const FORMS: readonly (readonly [RegExp, string, string])[] = [
  [/\/hash$/, 'is not a sha256 in hex (64 digits)', 'hash-form'],
  [/secrets\/\[\](\/id)?$/, 'holds other characters than letters, digits, dot, dash and underscore', 'invalid-value'],
  [/\/env$/, 'is no name of a variable', 'invalid-value'],
  [/secrets\/\[\]\/dest$|cache_dirs\/\[\](\/path)?$/, 'path cannot be relative', 'relative-path'],
];

function oneOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

function shown(node: YamlNode): string {
  if (node.kind !== 'scalar') return kindOf(node);
  if (node.value === null) return 'empty';
  return node.source.length > 60 ? `${node.source.slice(0, 60)}…` : node.source;
}
