import type { ConflictResolution } from '../recipe/model.ts';
import type { MergeConflict } from './merge-result.ts';
import { printable } from './printable.ts';

const MOST_RULES = 50;
/** As many conflicts in one directory become one rule. */
const ENOUGH_FOR_GLOB = 4;
const MOST_NAMES_IN_GLOB = 40;
const MOST_GLOB_CHARACTERS = 800;

export interface SuggestedRule {
  /** May hold whatever the name of a file holds. */
  readonly glob: string;
  readonly resolution: ConflictResolution;
}

/**
 * Rules that take the best remedy of each conflict, each glob once, in the order in which they have to be asked; none
 * where no rule would help. They match the files in conflict and no others: what drivers know how to merge in the same
 * directory must stay theirs.
 */
export function suggestRules(conflicts: readonly MergeConflict[]): readonly SuggestedRule[] {
  const single: SuggestedRule[] = [];
  const common: SuggestedRule[] = [];
  const byDirectory = new Map<string, { readonly resolution: ConflictResolution; readonly paths: string[] }>();
  for (const { path, remedies } of conflicts) {
    const [resolution] = remedies;
    if (resolution === undefined) continue;
    const key = `${resolution}\0${parentOf(path)}`;
    const group = byDirectory.get(key);
    if (group) group.paths.push(path);
    else byDirectory.set(key, { resolution, paths: [path] });
  }
  for (const { resolution, paths } of byDirectory.values()) {
    if (paths.length < ENOUGH_FOR_GLOB) for (const path of paths) single.push({ glob: literal(path), resolution });
    else for (const glob of commonGlobs(paths)) common.push({ glob, resolution });
  }
  return [...new Map([...single, ...common].map(rule => [rule.glob, rule])).values()];
}

/** Globs with the names of files of one directory in braces. */
function commonGlobs(paths: readonly string[]): readonly string[] {
  const directory = parentOf(paths[0]!);
  const before = directory === '' ? '/' : `${literal(directory)}/`;
  const groups: string[][] = [];
  let length = 0;
  for (const path of new Set(paths)) {
    const name = literal(path.slice(directory === '' ? 0 : directory.length + 1))
      .slice(1)
      .replaceAll(',', '\\,');
    const last = groups.at(-1);
    length += name.length + 1;
    if (last && last.length < MOST_NAMES_IN_GLOB && before.length + length < MOST_GLOB_CHARACTERS) last.push(name);
    else {
      groups.push([name]);
      length = name.length;
    }
  }
  return groups.map(names => (names.length === 1 ? `${before}${names[0]}` : `${before}{${names.join(',')}}`));
}

/** A `conflicts:` block in YAML, cut after as many rules as a person would read; empty without rules. */
export function formatRules(rules: readonly SuggestedRule[]): string {
  if (rules.length === 0) return '';
  const lines = rules.slice(0, MOST_RULES).map(({ glob, resolution }) => `  ${yamlKey(glob)}: ${resolution}`);
  return ['conflicts:', ...lines, ...(rules.length > MOST_RULES ? ['  # and more'] : [])].join('\n');
}

/** A rule as an argument in single quotes; what cannot stand there is matched by a wildcard. */
export function quotedRule({ glob, resolution }: SuggestedRule): string {
  return `'${printable(glob, () => '?').replaceAll("'", '?')}=${resolution}'`;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}

/** A glob that matches the path and, but for bytes that are no text, nothing else. */
function literal(path: string): string {
  const text = Buffer.from(path, 'latin1').toString('utf8');
  return `/${text.replace(/[\\*?[\]{}]/g, '\\$&').replaceAll('\uFFFD', '*')}`;
}

/** Plain where YAML takes it as it is; JSON strings are YAML as well. */
function yamlKey(text: string): string {
  if (/^\/[\w./@%+~*-]*$/.test(text)) return text;
  return printable(JSON.stringify(text), unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
