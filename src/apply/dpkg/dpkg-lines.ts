import type { Outcome } from '../driver.ts';
import { conflict, shown, textOutcome } from '../file-versions.ts';
import { joinLines, mergeKeyed, mergeLineSets, mergeSets, splitLines } from '../text/three-way.ts';

/** A text file of one side; an absent file is an empty one. */
export interface SideText {
  readonly name: string;
  readonly text: string;
}

export interface LineMerge {
  /** For messages. */
  readonly path: string;
  readonly ancestor: string;
  readonly sides: readonly SideText[];
}

/** One entry of a file whose entries consist of a fixed number of lines. */
interface LineEntry {
  /** What an entry is about; there is one of each. */
  readonly key: string;
  readonly text: string;
}

export interface LineFormat {
  readonly linesPerEntry: number;
  /** What an entry of these lines is about; `undefined` where it is none. */
  readonly keyOf: (lines: readonly string[]) => string | undefined;
  /** How messages call what an entry is about. */
  readonly noun: string;
  /** Whose entry counts where sides differ; without it, that is a conflict. */
  readonly settle?: 'last';
}

/** Three lines each: what is diverted, whereto, and by which package (or `:` for the administrator). */
export const DIVERSIONS: LineFormat = {
  linesPerEntry: 3,
  keyOf: ([from, to, by]) => (from?.startsWith('/') && to?.startsWith('/') && by !== '' ? from : undefined),
  noun: 'diversion of',
};

/** `user group mode path` */
export const STATOVERRIDE: LineFormat = {
  linesPerEntry: 1,
  keyOf: ([line = '']) => /^\S+ \S+ \S+ (\/.*)$/.exec(line)?.[1],
  noun: 'override of owner and mode of',
};

/** ucf's digests of the files as packages brought them: the last one counts, as if that package had come later. */
export const UCF_HASHES: LineFormat = {
  linesPerEntry: 1,
  keyOf: ([line = '']) => /^[0-9a-f]{32}\s+(\/.*)$/.exec(line)?.[1],
  noun: 'digest of',
  settle: 'last',
};

/** ucf's record of which package a configuration file belongs to. */
export const UCF_REGISTRY: LineFormat = {
  linesPerEntry: 1,
  keyOf: ([line = '']) => /^\S+\s+(\/.*)$/.exec(line)?.[1],
  noun: 'owner of',
};

/** Merges files of keyed entries: the ancestor's order, then additions in the order of sides. */
export function mergeLines(merge: LineMerge, format: LineFormat): Outcome {
  const { path, sides } = merge;
  const parsed: ReadonlyMap<string, LineEntry>[] = [];
  for (const { name, text } of [{ name: 'the base', text: merge.ancestor }, ...sides]) {
    const entries = parseEntries(text, format);
    if (typeof entries === 'string') return conflict(`/${shown(path)} of ${name} is damaged: ${entries}`);
    parsed.push(entries);
  }
  const [ancestor, ...others] = parsed;
  const clashes: string[] = [];
  const merged = mergeKeyed<LineEntry>({
    ancestor: ancestor!,
    sides: others,
    equal: (a, b) => a.text === b.text,
    settle: (key, _before, changes) => {
      const names = changes.map(({ side }) => sides[side]!.name).join(' and ');
      if (format.settle !== 'last') clashes.push(`the ${format.noun} ${shown(key)} differs between ${names}`);
      return changes.findLast(({ value }) => value !== undefined)?.value;
    },
  });
  const [clash] = clashes;
  if (clash !== undefined) return conflict(clash, { excerpt: clashes.length > 1 ? clashes : [] });
  return textOutcome(joinLines([...merged.values()].map(({ text }) => text)));
}

/** Files whose lines are a set: interests in triggers, architectures. Empty ones are deleted where a side deleted them. */
export function mergeLineFile({ ancestor, sides }: LineMerge, isDeleted: boolean): Outcome {
  const texts = sides.map(({ text }) => text);
  const text = mergeLineSets(ancestor, texts);
  return text === '' && isDeleted ? { type: 'drop' } : textOutcome(text);
}

/** Triggers that no package has answered yet: `trigger package…`, packages united by trigger. */
export function mergeUnincorporated({ ancestor, sides }: LineMerge): Outcome {
  const parse = (text: string) =>
    new Map(
      splitLines(text).flatMap(line => {
        const [trigger = '', ...packages] = line.split(' ').filter(word => word !== '');
        return trigger === '' ? [] : [[trigger, packages] as const];
      }),
    );
  const merged = mergeKeyed<readonly string[]>({
    ancestor: parse(ancestor),
    sides: sides.map(({ text }) => parse(text)),
    equal: (a, b) => a.join(' ') === b.join(' '),
    settle: (_key, before, changes) => {
      const packages = mergeSets(
        before ?? [],
        changes.map(({ value }) => value ?? []),
      );
      return packages.length === 0 ? undefined : packages;
    },
  });
  return textOutcome(joinLines([...merged].map(([trigger, packages]) => [trigger, ...packages].join(' '))));
}

function parseEntries(text: string, { linesPerEntry, keyOf, noun }: LineFormat): Map<string, LineEntry> | string {
  if (text.includes('\0')) return 'it holds NUL bytes';
  if (text !== '' && !text.endsWith('\n')) return 'its last line is cut off';
  const lines = splitLines(text);
  if (lines.length % linesPerEntry !== 0) return 'it does not consist of whole entries';
  const entries = new Map<string, LineEntry>();
  for (let at = 0; at < lines.length; at += linesPerEntry) {
    const own = lines.slice(at, at + linesPerEntry);
    const key = keyOf(own);
    if (key === undefined) return `${shown(own.join(' '))} is no entry`;
    if (entries.has(key)) return `it has two entries for the ${noun} ${shown(key)}`;
    entries.set(key, { key, text: own.join('\n') });
  }
  return entries;
}
