import { RecipeError } from '../core/diagnostics.ts';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { Problems } from './problems.ts';
import { SourceText } from './source-text.ts';
import { parseYamlTree } from './yaml-tree.ts';

export interface BuiltInDirectories {
  readonly rootfsDir: AbsPath;
  readonly stkDir: AbsPath;
  readonly ociDir: AbsPath;
  readonly workDir: AbsPath;
}

/** The values that every recipe can use without being given them, under stacker's names and stk's. */
export function builtInSubstitutions(directories: BuiltInDirectories): ReadonlyMap<string, string> {
  const { rootfsDir, stkDir, ociDir, workDir } = directories;
  return new Map(
    ['STACKER', 'STK'].flatMap(prefix => [
      [`${prefix}_ROOTFS_DIR`, rootfsDir] as const,
      [`${prefix}_STACKER_DIR`, stkDir] as const,
      [`${prefix}_STK_DIR`, stkDir] as const,
      [`${prefix}_OCI_DIR`, ociDir] as const,
      [`${prefix}_WORK_DIR`, workDir] as const,
    ]),
  );
}

/** One `K=V` of the command line; the value may hold further equal signs. Throws `usage`. */
export function parseSubstitution(text: string): readonly [name: string, value: string] {
  const equals = text.indexOf('=');
  const name = text.slice(0, Math.max(equals, 0));
  if (isSubstitutionName(name)) return [name, text.slice(equals + 1)];
  throw new StkError('usage', `invalid substitution ${text}`, {
    hint: 'write NAME=VALUE; a name holds no white space, colon, brace or equal sign',
  });
}

/** Substitutions of a file: a YAML map of strings; numbers and booleans count as written. Throws `RecipeError`. */
export function parseSubstitutionFile(file: string, text: string): ReadonlyMap<string, string> {
  const problems = new Problems(new SourceText(file, text));
  const values = new Map<string, string>();
  const tree = parseYamlTree(text);
  for (const { rule, message, range, suggestion } of tree.problems) problems.error(rule, message, range, suggestion);
  const empty = tree.root?.kind === 'scalar' && tree.root.value === null;
  if (tree.root?.kind === 'map') {
    for (const [name, { key, value }] of tree.root.entries) {
      if (!isSubstitutionName(name)) problems.error('invalid-value', `not a name for a substitution: ${name}`, key);
      if (value.kind === 'scalar') values.set(name, value.source);
      else problems.error('invalid-type', `the value of ${name} must be a string, not a ${value.kind}`, value.range);
    }
  } else if (tree.root !== undefined && !empty) {
    problems.error(
      'invalid-type',
      'a substitution file must be a map of strings',
      tree.root.range,
      'write NAME: value',
    );
  }
  if (problems.hasErrors) throw new RecipeError(problems.diagnostics, new Map([[file, text]]));
  return values;
}

function isSubstitutionName(name: string): boolean {
  return /^[^\s:={}$]+$/.test(name);
}
