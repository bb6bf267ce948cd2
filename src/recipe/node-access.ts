import type { TextRange, YamlEntry, YamlMap, YamlNode } from './yaml-tree.ts';

/**
 * Reads of a tree whose shape the schema has already judged: whatever has another shape reads as absent, because the
 * schema's complaint about it suffices.
 */

export function entryOf(map: YamlMap, key: string): YamlEntry | undefined {
  const entry = map.entries.get(key);
  return entry === undefined || isNull(entry.value) ? undefined : entry;
}

export function valueOf(map: YamlMap, key: string): YamlNode | undefined {
  return entryOf(map, key)?.value;
}

/** A scalar as it was written: numbers and booleans keep their spelling. */
export function textOf(node: YamlNode | undefined): string | undefined {
  return node?.kind === 'scalar' && node.value !== null ? node.source : undefined;
}

/** A text that is there and not empty. */
export function wordOf(node: YamlNode | undefined): string | undefined {
  return textOf(node) || undefined;
}

export function integerOf(node: YamlNode | undefined): number | undefined {
  return node?.kind === 'scalar' && Number.isSafeInteger(node.value) ? (node.value as number) : undefined;
}

/** Booleans in the spellings of YAML 1.1, which recipes written for older parsers use. */
export function booleanOf(node: YamlNode | undefined): boolean | undefined {
  if (node?.kind !== 'scalar') return undefined;
  if (typeof node.value === 'boolean') return node.value;
  if (!node.plain) return undefined;
  if (/^(?:yes|Yes|YES|on|On|ON|y|Y)$/.test(node.source)) return true;
  return /^(?:no|No|NO|off|Off|OFF|n|N)$/.test(node.source) ? false : undefined;
}

export function itemsOf(node: YamlNode | undefined): readonly YamlNode[] {
  return node?.kind === 'list' ? node.items : [];
}

/** The items of a list, or the one scalar in its place. */
export function oneOrMore(node: YamlNode | undefined): readonly YamlNode[] {
  return node?.kind === 'scalar' && node.value !== null ? [node] : itemsOf(node);
}

export function textsOf(node: YamlNode | undefined): string[] {
  return itemsOf(node).flatMap(item => textOf(item) ?? []);
}

/** A map of strings; an empty value is the empty string. */
export function stringMapOf(node: YamlNode | undefined): Readonly<Record<string, string>> {
  if (node?.kind !== 'map') return {};
  const pairs = [...node.entries].flatMap(([key, { value }]) =>
    value.kind === 'scalar' ? [[key, value.source] as const] : [],
  );
  return Object.fromEntries(pairs);
}

export function rangeIn(map: YamlMap, key: string): TextRange {
  return map.entries.get(key)?.value.range ?? map.range;
}

function isNull(node: YamlNode): boolean {
  return node.kind === 'scalar' && node.value === null;
}
