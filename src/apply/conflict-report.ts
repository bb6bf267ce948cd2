import { StkError } from '../core/errors.ts';
import type { DriverName } from './driver.ts';
import type { MergeConflict } from './merge-result.ts';
import { printable, shownImagePath } from './printable.ts';
import { formatRules, suggestRules } from './suggest-rules.ts';

/** Conflicts that are spelt out; the rest is counted. */
const MOST_SHOWN = 50;
/** Entries of `apply` for which rules are suggested. */
const MOST_BLOCKS = 20;
const MOST_PATHS_IN_FACTS = 1000;

const KINDS: Readonly<Record<DriverName | 'none', string>> = {
  dpkg: 'Debian packages',
  apk: 'Alpine packages',
  rpm: 'rpm packages',
  accounts: 'users and groups',
  identities: 'keys and ids of a machine',
  generated: 'generated files',
  logs: 'logs and caches',
  attributes: 'modes, owners and extended attributes',
  text: 'text files',
  rule: 'rules of the recipe',
  layers: 'layers',
  none: 'other files',
};

/** What an error about conflicts says besides them. */
export interface ConflictWording {
  /** The first line. */
  readonly head: (image: string, count: string) => string;
  /** What to do next; `undefined` where there is nothing to say. */
  readonly hint: (conflicts: readonly MergeConflict[]) => string | undefined;
}

const OF_A_BUILD: ConflictWording = {
  head: (image, count) => `${image}: ${count} between applied images`,
  hint(conflicts) {
    const suggestion = suggestEntries(conflicts);
    const rest = conflicts.some(({ remedies, excludes }) => remedies.length === 0 && excludes !== true)
      ? [
          `no rule settles ${suggestion === '' ? 'this' : 'the rest'}: mend one of the images, or apply them without each other`,
        ]
      : [];
    const blocks =
      suggestion === ''
        ? []
        : [`decide, and write each block below its entry of apply, with \`image:\` before it:\n${suggestion}`];
    return blocks.length + rest.length === 0 ? undefined : [...rest, ...blocks].join('\n');
  },
};

/**
 * The error for an image whose applied images cannot be merged: code `conflict`, with all conflicts in its message as far
 * as people would read them, and the paths among its facts.
 */
export function conflictError(
  conflicts: readonly MergeConflict[],
  image: string,
  wording: ConflictWording = OF_A_BUILD,
): StkError {
  const count = `${conflicts.length} ${conflicts.length === 1 ? 'conflict' : 'conflicts'}`;
  const hint = wording.hint(conflicts);
  return new StkError('conflict', `${wording.head(image, count)}\n${describeConflicts(conflicts)}`, {
    ...(hint === undefined ? {} : { hint }),
    facts: {
      image,
      conflicts: conflicts.length,
      paths: conflicts.slice(0, MOST_PATHS_IN_FACTS).map(({ path }) => shownImagePath(path)),
    },
  });
}

/** The conflicts for people, those of one driver together. */
export function describeConflicts(conflicts: readonly MergeConflict[]): string {
  const groups = new Map<DriverName | 'none', MergeConflict[]>();
  for (const conflict of conflicts.slice(0, MOST_SHOWN)) {
    const kind = conflict.driver ?? 'none';
    groups.set(kind, [...(groups.get(kind) ?? []), conflict]);
  }
  const lines: string[] = [];
  for (const [kind, group] of groups) {
    lines.push(`${KINDS[kind]}:`);
    for (const conflict of group) lines.push(...describeConflict(conflict).map(line => `  ${line}`));
  }
  if (conflicts.length > MOST_SHOWN) lines.push(`and ${conflicts.length - MOST_SHOWN} more`);
  return lines.join('\n');
}

/**
 * A `conflicts:` block in YAML for each entry of `apply` that would settle what it is asked about first, which is what it
 * is the last to take part in; empty where no rule would help.
 */
export function suggestEntries(conflicts: readonly MergeConflict[]): string {
  const byEntry = new Map<string, MergeConflict[]>();
  for (const conflict of conflicts) {
    const entry = conflict.sides.at(-1)?.name ?? 'the last image';
    const own = byEntry.get(entry);
    if (own) own.push(conflict);
    else byEntry.set(entry, [conflict]);
  }
  const blocks = [...byEntry].flatMap(([entry, own]) => {
    const rules = formatRules(suggestRules(own));
    return rules === '' ? [] : `# ${printable(entry)}\n${rules}`;
  });
  const more = blocks.length > MOST_BLOCKS ? ['# and more entries'] : [];
  return [...blocks.slice(0, MOST_BLOCKS), ...more].join('\n');
}

function describeConflict({ path, sides, message, excerpt }: MergeConflict): readonly string[] {
  const lines = [`${shownImagePath(path)}: ${printable(message)}`];
  for (const { name, did } of sides) lines.push(`    ${printable(name)}: ${did}`);
  for (const line of excerpt?.split('\n') ?? []) lines.push(`    | ${printable(line)}`.trimEnd());
  return lines;
}
