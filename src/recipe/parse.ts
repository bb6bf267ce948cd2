import { digestOf } from '../core/digest.ts';
import type { Diagnostic } from '../core/diagnostics.ts';
import { absPath, type AbsPath } from '../core/paths.ts';
import type { ImageDefinition, Recipe } from './model.ts';
import { itemsOf, valueOf, wordOf } from './node-access.ts';
import { parseImage } from './parse-image.ts';
import type { ParseContext } from './parse-source.ts';
import { Problems } from './problems.ts';
import { checkSchema } from './schema-problems.ts';
import { substitute } from './substitute.ts';
import { parseYamlTree, type YamlNode } from './yaml-tree.ts';

export interface ParseOptions {
  /** Absolute path or URL: named by spans. */
  readonly file: string;
  /** What relative paths resolve against. */
  readonly directory: AbsPath;
  /** What the paths of `from` (tar, oci) and of applied layouts resolve against. */
  readonly workingDirectory: AbsPath;
  readonly substitutions?: ReadonlyMap<string, string>;
}

export interface ParsedRecipe {
  /** `undefined` if any diagnostic is an error. */
  readonly recipe: Recipe | undefined;
  /** Errors and warnings, in file order. */
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Reads one recipe from its text. Everything wrong with it is collected; nothing is thrown, whatever the text, and time
 * and memory are bounded by `YAML_LIMITS`. What spans several images or files is left to `validateRecipes`.
 */
export function parseRecipe(text: string, options: ParseOptions): ParsedRecipe {
  const { file, directory, workingDirectory } = options;
  const substituted = substitute(file, text, options.substitutions ?? new Map());
  const problems = new Problems(substituted.source);
  const context: ParseContext = { problems, directory, workingDirectory };
  const tree = parseYamlTree(substituted.text);
  for (const { rule, message, range, suggestion } of tree.problems) problems.error(rule, message, range, suggestion);
  const empty: Contents = { images: [], prerequisites: [] };
  const contents = tree.root === undefined ? empty : readContents(tree.root, context);
  const diagnostics = [...substituted.diagnostics, ...problems.diagnostics];
  diagnostics.sort((a, b) => a.span!.line - b.span!.line || a.span!.column - b.span!.column);
  if (diagnostics.some(d => d.severity === 'error')) return { recipe: undefined, diagnostics };
  return { recipe: { file, directory, text, digest: digestOf(text), ...contents }, diagnostics };
}

interface Contents {
  readonly images: readonly ImageDefinition[];
  readonly prerequisites: readonly string[];
}

function readContents(root: YamlNode, context: ParseContext): Contents {
  if (root.kind === 'scalar' && root.value === null) return { images: [], prerequisites: [] };
  if (root.kind !== 'map') {
    const message = 'a recipe must be a map from image names to definitions';
    context.problems.error('invalid-type', message, root.range, 'begin with NAME: and indent the definition');
    return { images: [], prerequisites: [] };
  }
  checkSchema(root, context.problems);
  const images: ImageDefinition[] = [];
  for (const [name, entry] of root.entries) {
    const image = name === 'config' ? undefined : parseImage(name, entry, context);
    if (image !== undefined) images.push(image);
  }
  return { images, prerequisites: prerequisitesOf(valueOf(root, 'config'), context) };
}

function prerequisitesOf(config: YamlNode | undefined, { directory }: ParseContext): readonly string[] {
  if (config?.kind !== 'map') return [];
  return itemsOf(valueOf(config, 'prerequisites')).flatMap(item => {
    const text = wordOf(item);
    if (text === undefined) return [];
    return [/^https?:\/\//.test(text) ? text : absPath(text, directory)];
  });
}
