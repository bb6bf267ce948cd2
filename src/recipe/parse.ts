import { digestOf } from '../core/digest.ts';
import type { Diagnostic, SourceSpan } from '../core/diagnostics.ts';
import { maskUrls } from '../core/mask-urls.ts';
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
  /** Stands for every substitution without a value. */
  readonly dummy?: string;
}

export interface ParsedRecipe {
  /** `undefined` if any diagnostic is an error. */
  readonly recipe: Recipe | undefined;
  /** What could be read in spite of errors, for checks that span images and files. */
  readonly readable: Recipe;
  /** Names of images that are there but could not be read; `undefined` if they are unknown, because the YAML is broken. */
  readonly unreadable: readonly string[] | undefined;
  /** Where each prerequisite is written. */
  readonly prerequisiteSpans: ReadonlyMap<string, SourceSpan>;
  /** Errors and warnings, in file order. */
  readonly diagnostics: readonly Diagnostic[];
}

const URL_LOGIN = 'a URL holds a password or token, which is left out of what images say of their recipe';
const URL_LOGIN_HINT =
  'use `secrets` for what `run` fetches, and for imports a credentials file (stk login writes one)';

/**
 * Reads one recipe from its text. Everything wrong with it is collected; nothing is thrown, whatever the text, and time
 * and memory are bounded by `YAML_LIMITS`. What spans several images or files is left to `validateRecipes`.
 */
export function parseRecipe(text: string, options: ParseOptions): ParsedRecipe {
  const { file, directory, workingDirectory } = options;
  const substituted = substitute(file, text, options.substitutions ?? new Map(), options.dummy);
  const problems = new Problems(substituted.source);
  const context: ParseContext = { problems, directory, workingDirectory };
  for (const { start, end } of maskUrls(text).logins) {
    problems.warningAt('url-login', URL_LOGIN, substituted.source.rawSpan(start, end), URL_LOGIN_HINT);
  }
  const tree = parseYamlTree(substituted.text);
  for (const { rule, message, range, suggestion } of tree.problems) problems.error(rule, message, range, suggestion);
  const { images, unreadable, prerequisites } = tree.root === undefined ? NOTHING : readContents(tree.root, context);
  const readable = { file, directory, text, digest: digestOf(text), images, prerequisites: [...prerequisites.keys()] };
  const { missing } = substituted;
  const own = problems.diagnostics.filter(({ span }) => !missing.some(placeholder => isAbout(span!, placeholder.span)));
  const diagnostics = [...substituted.diagnostics, ...own];
  diagnostics.sort((a, b) => a.span!.line - b.span!.line || a.span!.column - b.span!.column);
  return {
    recipe: diagnostics.some(d => d.severity === 'error') ? undefined : readable,
    readable,
    unreadable: tree.problems.length > 0 ? undefined : [...unreadable, ...missing.map(({ name }) => name)],
    prerequisiteSpans: prerequisites,
    diagnostics,
  };
}

/** Whether a complaint lies on a placeholder that got no value, and so is about the stand-in for it. */
function isAbout(span: SourceSpan, placeholder: SourceSpan): boolean {
  const within = span.line === span.endLine && span.line === placeholder.line;
  return within && span.column < placeholder.endColumn && placeholder.column < span.endColumn;
}

interface Contents {
  readonly images: readonly ImageDefinition[];
  readonly unreadable: readonly string[];
  readonly prerequisites: ReadonlyMap<string, SourceSpan>;
}

const NOTHING: Contents = { images: [], unreadable: [], prerequisites: new Map() };

function readContents(root: YamlNode, context: ParseContext): Contents {
  if (root.kind === 'scalar' && root.value === null) return NOTHING;
  if (root.kind !== 'map') {
    const message = 'a recipe must be a map from image names to definitions';
    context.problems.error('invalid-type', message, root.range, 'begin with NAME: and indent the definition');
    return NOTHING;
  }
  checkSchema(root, context.problems);
  const images: ImageDefinition[] = [];
  const unreadable: string[] = [];
  for (const [name, entry] of root.entries) {
    if (name === 'config') continue;
    const image = parseImage(name, entry, context);
    if (image === undefined) unreadable.push(name);
    else images.push(image);
  }
  return { images, unreadable, prerequisites: prerequisitesOf(valueOf(root, 'config'), context) };
}

function prerequisitesOf(config: YamlNode | undefined, context: ParseContext): ReadonlyMap<string, SourceSpan> {
  const spans = new Map<string, SourceSpan>();
  if (config?.kind !== 'map') return spans;
  for (const item of itemsOf(valueOf(config, 'prerequisites'))) {
    const text = wordOf(item);
    if (text === undefined) continue;
    const target = /^https?:\/\//.test(text) ? text : absPath(text, context.directory);
    if (!spans.has(target)) spans.set(target, context.problems.span(item.range));
  }
  return spans;
}
