import { RecipeError } from '../core/diagnostics.ts';
import { Problems } from './problems.ts';
import { SourceText } from './source-text.ts';
import { isSubstitutionName } from './substitutions.ts';
import { parseYamlTree } from './yaml-tree.ts';

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
