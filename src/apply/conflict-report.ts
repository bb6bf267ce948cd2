import { StkError } from '../core/errors.ts';
import type { DriverName } from './driver.ts';
import type { MergeConflict } from './merge-result.ts';
import { suggestRules } from './suggest-rules.ts';

/** Conflicts that are spelt out; the rest is counted. */
const MOST_SHOWN = 50;
const MOST_PATHS_IN_FACTS = 1000;

const KINDS: Readonly<Record<DriverName | 'none', string>> = {
  dpkg: 'Debian packages',
  apk: 'Alpine packages',
  rpm: 'rpm packages',
  accounts: 'users and groups',
  generated: 'generated files',
  logs: 'logs and caches',
  attributes: 'modes, owners and extended attributes',
  text: 'text files',
  rule: 'rules of the recipe',
  layers: 'layers',
  none: 'other files',
};

export interface ConflictReport {
  /** For people: every conflict, those of one driver together. */
  readonly text: string;
  /** A `conflicts:` block in YAML that would settle them; empty where no rule would. */
  readonly suggestion: string;
}

/** All conflicts for people, and rules that would settle them, as YAML to paste. */
export function describeConflicts(conflicts: readonly MergeConflict[]): ConflictReport {
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
  return { text: lines.join('\n'), suggestion: suggestRules(conflicts) };
}

/** The error for an image whose applied images cannot be merged: code `conflict`, the paths among its facts. */
export function conflictError(conflicts: readonly MergeConflict[], image = 'apply'): StkError {
  const { text, suggestion } = describeConflicts(conflicts);
  const count = `${conflicts.length} ${conflicts.length === 1 ? 'conflict' : 'conflicts'}`;
  const last = conflicts.findLast(({ sides }) => sides.length > 0)?.sides.at(-1)?.name ?? 'the last';
  return new StkError('conflict', `${image}: ${count} between applied images\n${text}`, {
    ...(suggestion === ''
      ? {}
      : { hint: `decide and write it below the entry of ${last}, with \`image:\` before it:\n${suggestion}` }),
    facts: {
      image,
      conflicts: conflicts.length,
      paths: conflicts.slice(0, MOST_PATHS_IN_FACTS).map(({ path }) => shownImagePath(path)),
    },
  });
}

function describeConflict({ path, sides, message, excerpt }: MergeConflict): readonly string[] {
  const lines = [`${shownImagePath(path)}: ${printable(message)}`];
  for (const { name, did } of sides) lines.push(`    ${name}: ${did}`);
  for (const line of excerpt?.split('\n') ?? []) lines.push(`    | ${printable(line)}`.trimEnd());
  return lines;
}

/** A byte string as an absolute path for people. */
function shownImagePath(path: string): string {
  return printable(`/${Buffer.from(path, 'latin1').toString('utf8')}`);
}

/** Without anything that could drive a terminal. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '\uFFFD');
}
