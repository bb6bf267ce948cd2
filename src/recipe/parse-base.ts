import { isConflictResolution, type ApplyEntry, type Base } from './model.ts';
import { booleanOf, oneOrMore, rangeIn, textOf, valueOf, wordOf } from './node-access.ts';
import { parseDocker, parseFileSource, parseOci, parseReference, type ParseContext } from './parse-source.ts';
import type { TextRange, YamlMap, YamlNode } from './yaml-tree.ts';

/** `from` as a map or a string. `undefined` if something is wrong with it, which has been reported. */
export function parseBase(node: YamlNode | undefined, context: ParseContext): Base | undefined {
  if (node === undefined) return undefined;
  const span = context.problems.span(node.range);
  const base = node.kind === 'map' ? baseOfMap(node, context) : baseOfText(wordOf(node), node.range, context);
  return base && { ...base, span };
}

type BareBase = Base extends infer B ? (B extends unknown ? Omit<B, 'span'> : never) : never;

function baseOfText(text: string | undefined, range: TextRange, context: ParseContext): BareBase | undefined {
  if (text === undefined) return undefined;
  if (text === 'scratch') return { type: 'scratch' };
  if (/^(?:docker:\/\/|oci:)/.test(text)) return parseReference(text, range, context);
  if (/^(?:https?|stacker):\/\//.test(text) || text.includes('/') || isTarName(text))
    return tarBase(text, range, context);
  return parseReference(text, range, context);
}

function isTarName(text: string): boolean {
  return /\.(?:tar(?:\.[a-z0-9]+)?|tgz|tzst|txz)$/i.test(text);
}

function tarBase(url: string, range: TextRange, context: ParseContext): BareBase | undefined {
  const source = parseFileSource(url, context.workingDirectory, range, context);
  return source && { type: 'tar', source };
}

function baseOfMap(map: YamlMap, context: ParseContext): BareBase | undefined {
  const type = textOf(valueOf(map, 'type'));
  const url = wordOf(valueOf(map, 'url'));
  const range = rangeIn(map, 'url');
  if (type === 'scratch') return { type };
  if (type === 'built') return builtBase(map, context);
  if (type !== 'docker' && type !== 'oci' && type !== 'tar') return undefined;
  if (url === undefined) {
    context.problems.error('missing-key', `from url cannot be empty for image type '${type}'`, range);
    return undefined;
  }
  if (type === 'tar') return tarBase(url, range, context);
  // `oci:TAG` is a tag of the layout `oci`, the usual one; `oci:DIR:TAG` has the scheme in front.
  if (type === 'oci') return parseOci(/^oci:[^:]*:/.test(url) ? url.slice('oci:'.length) : url, range, context);
  if (url.startsWith('oci:')) return parseReference(url, range, context);
  return parseDocker(url, booleanOf(valueOf(map, 'insecure')) ?? false, range, context);
}

function builtBase(map: YamlMap, context: ParseContext): BareBase | undefined {
  const image = wordOf(valueOf(map, 'tag'));
  if (image !== undefined) return { type: 'built', image };
  const range = rangeIn(map, 'tag');
  context.problems.error('missing-key', "from tag cannot be empty for image type 'built'", range, 'write tag: IMAGE');
  return undefined;
}

/** `apply`: one reference, or a list of references and maps. */
export function parseApply(node: YamlNode | undefined, context: ParseContext): ApplyEntry[] {
  return oneOrMore(node).flatMap(item => {
    const image = item.kind === 'map' ? valueOf(item, 'image') : item;
    const text = wordOf(image);
    const reference = text === undefined ? undefined : parseReference(text, image!.range, context);
    if (reference === undefined) return [];
    const conflicts = item.kind === 'map' ? conflictRules(valueOf(item, 'conflicts')) : [];
    const anyBase = item.kind === 'map' && textOf(valueOf(item, 'base')) === 'any';
    return [{ reference, conflicts, anyBase, span: context.problems.span(item.range) }];
  });
}

function conflictRules(node: YamlNode | undefined): ApplyEntry['conflicts'] {
  if (node?.kind !== 'map') return [];
  return [...node.entries].flatMap(([glob, { value }]) => {
    const resolution = textOf(value);
    return isConflictResolution(resolution) ? [{ glob, resolution }] : [];
  });
}
