import type { Outcome } from '../driver.ts';
import { conflict, shown, textOutcome } from '../file-versions.ts';
import type { LineMerge } from './dpkg-lines.ts';
import {
  lastValue,
  linesByFirstWord,
  mergeFields,
  setOfWords,
  type FieldMerge,
  type FieldRules,
} from '../packages/record-merge.ts';
import {
  fieldOf,
  formatStanza,
  isDamaged,
  joinStanzas,
  parseFields,
  splitStanzas,
  type Damage,
  type Fields,
} from '../packages/stanzas.ts';
import { mergeKeyed } from '../text/three-way.ts';

const ORDER = ['name', 'template', 'value', 'owners', 'flags', 'variables'] as const;

/** Of questions: whoever asked for one owns it too; answers clash. */
const QUESTION_RULES: ReadonlyMap<string, FieldMerge> = new Map([
  ['owners', setOfWords(', ')],
  ['flags', setOfWords(', ')],
  ['variables', linesByFirstWord],
]);

/** Merges debconf databases (`config.dat`, `templates.dat`, `passwords.dat`) by question, then by field. */
export function mergeDebconf({ path, ancestor, sides }: LineMerge): Outcome {
  // Texts of templates are those of the package that came last.
  const otherwise = path.endsWith('templates.dat') ? lastValue : undefined;
  const ruleOf: FieldRules = key => (otherwise && key !== 'owners' ? otherwise : QUESTION_RULES.get(key));
  const parsed: ReadonlyMap<string, string>[] = [];
  for (const { name, text } of [{ name: 'the base', text: ancestor }, ...sides]) {
    const items = parseItems(text);
    if (isDamaged(items)) return conflict(`/${path} of ${name} is damaged: ${items.damage}`);
    parsed.push(items);
  }
  const [before, ...others] = parsed;
  const clashes: string[] = [];
  const merged = mergeKeyed<string>({
    ancestor: before!,
    sides: others,
    equal: (a, b) => a === b,
    settle: (key, item, changes) => {
      // One side has forgotten it and another uses it.
      const present = changes.filter(({ value }) => value !== undefined);
      const result = mergeItem(
        item,
        present.map(({ value }) => value!),
        ruleOf,
      );
      if (typeof result === 'string') return result;
      const names = present.map(({ side }) => sides[side]!.name).join(' and ');
      clashes.push(`the ${result.field} of debconf's ${shown(key)} differs between ${names}`);
      return present[0]?.value;
    },
  });
  const [clash] = clashes;
  if (clash !== undefined) return conflict(clash, { excerpt: clashes.length > 1 ? clashes : [] });
  const items = [...merged];
  if (parsed.every(isSorted)) items.sort(([a], [b]) => (a < b ? -1 : 1));
  return textOutcome(joinStanzas(items.map(([, stanza]) => stanza)));
}

function mergeItem(
  before: string | undefined,
  versions: readonly string[],
  ruleOf: FieldRules,
): string | { readonly field: string } {
  const [ancestor, ...sides] = [before ?? '', ...versions].map(parseFields);
  if (ancestor === undefined || isDamaged(ancestor)) return { field: 'record' };
  const readable = sides.filter((side): side is Fields => !isDamaged(side));
  if (readable.length < sides.length) return { field: 'record' };
  const merged = mergeFields({ ancestor, sides: readable, ruleOf, order: ORDER });
  return 'clash' in merged ? { field: merged.clash.toLowerCase() } : formatStanza(merged);
}

function parseItems(text: string): ReadonlyMap<string, string> | Damage {
  const stanzas = splitStanzas(text);
  if (isDamaged(stanzas)) return stanzas;
  const items = new Map<string, string>();
  for (const stanza of stanzas) {
    const name = fieldOf(stanza, 'Name');
    if (name === undefined || name === '') return { damage: 'a stanza has no name' };
    if (items.has(name)) return { damage: `it has two stanzas of ${shown(name)}` };
    items.set(name, stanza);
  }
  return items;
}

function isSorted(items: ReadonlyMap<string, string>): boolean {
  const names = [...items.keys()];
  return names.every((name, at) => at === 0 || names[at - 1]! <= name);
}
