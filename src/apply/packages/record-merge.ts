import { mergeKeyed, mergeSets, mergeValue } from '../text/three-way.ts';
import type { Field, Fields } from './stanzas.ts';

/** How the values of one field come together where sides changed it differently. */
export type FieldMerge = (
  ancestor: string | undefined,
  /** Of the sides that changed it; `undefined` where one has no such field. */
  values: readonly (string | undefined)[],
) => { readonly value: string | undefined } | 'clash';

export type FieldRules = (key: string) => FieldMerge | undefined;

export interface RecordMerge {
  readonly ancestor: Fields;
  readonly sides: readonly Fields[];
  /** The rule for a field by its lower-case name, which may be any text; a field without one clashes. */
  readonly ruleOf: FieldRules;
  /** Lower-case names in the order in which the owner of the format writes them; others follow. */
  readonly order: readonly string[];
}

/**
 * Merges stanzas of one thing field by field; unknown fields are kept. Gives the fields in the order of the format, or the
 * name of one that clashes.
 */
export function mergeFields({ ancestor, sides, ruleOf, order }: RecordMerge): readonly Field[] | { clash: string } {
  let clash: string | undefined;
  const merged = mergeKeyed<Field>({
    ancestor,
    sides,
    equal: (a, b) => a.value === b.value,
    settle: (key, before, changes) => {
      const values = changes.map(({ value }) => value?.value);
      const settled = ruleOf(key)?.(before?.value, values) ?? 'clash';
      const name = before?.name ?? changes.find(({ value }) => value)?.value?.name ?? key;
      if (settled === 'clash') {
        clash ??= name;
        return undefined;
      }
      return settled.value === undefined ? undefined : { name, value: settled.value };
    },
  });
  if (clash !== undefined) return { clash };
  // A side's own order is the right one wherever it has the field.
  const [first] = sides;
  const known = new Map<string, number>();
  for (const key of first?.keys() ?? []) known.set(key, known.size);
  const missing = [...merged.keys()].filter(key => !known.has(key));
  if (missing.length === 0) return [...(first?.keys() ?? [])].flatMap(key => merged.get(key) ?? []);
  const rank = (key: string) => {
    const at = order.indexOf(key);
    return at < 0 ? order.length : at;
  };
  return [...merged].toSorted(([a], [b]) => rank(a) - rank(b)).map(([, field]) => field);
}

/** Words between blanks or commas as a set; joined as they were. */
export function setOfWords(separator: ' ' | ', '): FieldMerge {
  const split = (value: string | undefined) => (value ?? '').split(/[\s,]+/).filter(word => word !== '');
  return (ancestor, values) => {
    const words = mergeSets(split(ancestor), values.map(split));
    return { value: words.length === 0 ? undefined : words.join(separator) };
  };
}

/** Continuation lines, each known by its first word. */
export const linesByFirstWord: FieldMerge = (ancestor, values) => {
  const split = (value: string | undefined) =>
    new Map(
      (value ?? '')
        .split('\n')
        .filter(line => line.trim() !== '')
        .map(line => [line.trim().split(' ', 1)[0]!, line]),
    );
  let clash = false;
  const lines = mergeKeyed<string>({
    ancestor: split(ancestor),
    sides: values.map(split),
    equal: (a, b) => a === b,
    settle: (_key, before, changes) => {
      const settled = mergeValue(
        before,
        changes.map(({ value }) => value),
      );
      if ('value' in settled) return settled.value;
      clash = true;
      return undefined;
    },
  });
  if (clash) return 'clash';
  return { value: lines.size === 0 ? undefined : `\n${[...lines.values()].join('\n')}` };
};

/** The last side that changed it decides. */
export const lastValue: FieldMerge = (_ancestor, values) => ({ value: values.at(-1) });
