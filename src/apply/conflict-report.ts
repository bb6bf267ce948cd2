import { StkError } from '../core/errors.ts';
import type { ConflictResolution } from '../recipe/model.ts';
import type { MergeConflict } from './merge-result.ts';

/** Conflicts that are spelt out; the rest is counted. */
const MOST_SHOWN = 50;

/** All conflicts for people, and rules that would settle them, as YAML to paste. */
export function describeConflicts(conflicts: readonly MergeConflict[]): {
  readonly text: string;
  readonly suggestion: string;
} {
  const lines: string[] = [];
  for (const { path, driver, sides, message, excerpt } of conflicts.slice(0, MOST_SHOWN)) {
    lines.push(`/${shown(path)}${driver === undefined ? '' : ` (${driver})`}: ${message}`);
    for (const { name, did } of sides) lines.push(`    ${name}: ${did}`);
    if (excerpt !== undefined) lines.push(...excerpt.split('\n').map(line => `    ${printable(line)}`));
  }
  if (conflicts.length > MOST_SHOWN) lines.push(`and ${conflicts.length - MOST_SHOWN} more`);
  return { text: lines.join('\n'), suggestion: suggest(conflicts) };
}

/** The error for an image whose applied images cannot be merged. */
export function conflictError(conflicts: readonly MergeConflict[], image = 'apply'): StkError {
  const { text, suggestion } = describeConflicts(conflicts);
  const count = `${conflicts.length} ${conflicts.length === 1 ? 'conflict' : 'conflicts'}`;
  const last = conflicts.findLast(({ sides }) => sides.length > 0)?.sides.at(-1)?.name ?? 'the last';
  return new StkError('conflict', `${image}: ${count} between applied images\n${text}`, {
    ...(suggestion === ''
      ? {}
      : { hint: `decide and write it below the entry of ${last}, with \`image:\` before it:\n${suggestion}` }),
    facts: { image, paths: conflicts.map(({ path }) => `/${shown(path)}`).slice(0, 1000) },
  });
}

function suggest(conflicts: readonly MergeConflict[]): string {
  const rules = new Map<string, ConflictResolution>();
  for (const { path, remedies } of conflicts.slice(0, MOST_SHOWN)) {
    const [best] = remedies;
    if (best !== undefined) rules.set(`/${shown(path)}`, best);
  }
  if (rules.size === 0) return '';
  return ['conflicts:', ...[...rules].map(([path, rule]) => `  ${JSON.stringify(path)}: ${rule}`)].join('\n');
}

function shown(path: string): string {
  return printable(Buffer.from(path, 'latin1').toString('utf8'));
}

function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '\uFFFD');
}
