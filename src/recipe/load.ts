import path from 'node:path';
import { RecipeError, type Diagnostic, type SourceSpan } from '../core/diagnostics.ts';
import { StkError, errnoOf, isStkError, messageOf, throwIfAborted } from '../core/errors.ts';
import { absPath, type AbsPath } from '../core/paths.ts';
import { constants, open, realpath } from '../host/files.ts';
import type { Recipe } from './model.ts';
import { parseCached, type ParseCache } from './parse-cache.ts';
import type { ParsedRecipe } from './parse.ts';
import { validateRecipes } from './validate.ts';
import { YAML_LIMITS } from './yaml-limits.ts';

/** Fetches the text behind an http(s) URL, bounded in size and time. */
export type ReadText = (url: string, signal?: AbortSignal) => Promise<string>;

/** Bytes of a file that can be read but once, such as a pipe; `undefined` where it is an ordinary one. */
export type ReadPipe = (file: AbsPath) => Promise<Uint8Array | undefined>;

export interface LoadOptions {
  readonly workingDirectory: AbsPath;
  readonly readText: ReadText;
  /** For recipes that are asked for; those that a recipe names must be ordinary files. */
  readonly readPipe?: ReadPipe;
  readonly substitutions?: ReadonlyMap<string, string>;
  /** Stands for every substitution without a value. */
  readonly dummy?: string;
  /** Spares reading YAML that was read before. */
  readonly cache?: ParseCache;
  readonly signal?: AbortSignal;
}

export interface LoadedRecipes {
  /** Prerequisites before what needs them, otherwise in the order asked for; each file once. */
  readonly recipes: readonly Recipe[];
  readonly warnings: readonly Diagnostic[];
  /** Texts that the spans point into, by `SourceSpan.file`. */
  readonly sources: ReadonlyMap<string, string>;
}

const MOST_FILES = 1000;

/**
 * Reads recipes (paths or http(s) URLs) and, recursively, what their `config.prerequisites` name. Throws `RecipeError`
 * with the problems of all files together; a recipe asked for that cannot be read throws `not-found` or what the port threw.
 */
export async function loadRecipes(files: readonly string[], options: LoadOptions): Promise<LoadedRecipes> {
  const loader = new Loader(options);
  for (const file of files) await loader.load(isUrl(file) ? file : absPath(file, options.workingDirectory), undefined);
  return loader.finish();
}

class Loader {
  readonly #options: LoadOptions;
  readonly #sources = new Map<string, string>();
  readonly #diagnostics: Diagnostic[] = [];
  readonly #parsed: ParsedRecipe[] = [];
  readonly #known = new Set<string>();
  /** Files whose prerequisites are being read, the outermost first. */
  readonly #path: { readonly identity: string; readonly file: string }[] = [];

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  async load(file: string, from: SourceSpan | undefined): Promise<void> {
    throwIfAborted(this.#options.signal);
    const identity = isUrl(file) ? file : await realpath(file).catch(() => file);
    const at = this.#path.findIndex(open => open.identity === identity);
    if (at >= 0) return this.#reportCycle([...this.#path.slice(at).map(open => open.file), file], from);
    if (this.#known.has(identity)) return;
    if (this.#known.size >= MOST_FILES) return this.#report('prerequisite', 'there are too many prerequisites', from);
    this.#known.add(identity);
    const read = await this.#read(file, from);
    if (read === undefined) return;
    const { text, directory } = read;
    const { workingDirectory, substitutions, dummy, cache } = this.#options;
    const rest = { workingDirectory, ...(substitutions && { substitutions }), ...(dummy && { dummy }) };
    const parsed = await parseCached(text, { file, directory, ...rest }, cache);
    this.#sources.set(file, text);
    this.#diagnostics.push(...parsed.diagnostics);
    this.#path.push({ identity, file });
    for (const [prerequisite, span] of parsed.prerequisiteSpans) await this.load(prerequisite, span);
    this.#path.pop();
    this.#parsed.push(parsed);
  }

  finish(): LoadedRecipes {
    const unreadable = this.#parsed.map(parsed => parsed.unreadable);
    // With a file whose names are unknown, every image may seem to be missing.
    if (this.#parsed.length === this.#known.size && !unreadable.includes(undefined)) {
      const readable = this.#parsed.map(parsed => parsed.readable);
      this.#diagnostics.push(
        ...validateRecipes(
          readable,
          unreadable.flatMap(names => names ?? []),
        ),
      );
    }
    this.#reportEmpty();
    const recipes = this.#parsed.flatMap(parsed => parsed.recipe ?? []);
    if (this.#diagnostics.some(d => d.severity === 'error')) throw new RecipeError(this.#diagnostics, this.#sources);
    return { recipes, warnings: this.#diagnostics, sources: this.#sources };
  }

  async #read(file: string, from: SourceSpan | undefined): Promise<RecipeText | undefined> {
    const { readText, readPipe, workingDirectory: directory, signal } = this.#options;
    try {
      if (isUrl(file)) return { text: await readText(file, signal), directory };
      // A pipe has no place of its own. One that a recipe names might never end.
      const piped = from === undefined ? await readPipe?.(file as AbsPath) : undefined;
      if (piped) return { text: recipeText(file, piped), directory };
      return { text: await readLocal(file), directory: absPath(path.dirname(file), '/') };
    } catch (error) {
      if (from === undefined || isStkError(error, 'interrupted') || !(isStkError(error) || errnoOf(error))) throw error;
      this.#report('prerequisite', `couldn't find prerequisite ${file}: ${messageOf(error)}`, from);
      return undefined;
    }
  }

  /** Nothing to build is what a template or a pipe that failed leaves. */
  #reportEmpty(): void {
    const isEmpty = ({ readable, unreadable, diagnostics }: ParsedRecipe) =>
      readable.images.length === 0 &&
      readable.prerequisites.length === 0 &&
      unreadable?.length === 0 &&
      diagnostics.length === 0;
    const isError = this.#parsed.every(({ readable }) => readable.images.length === 0);
    for (const { readable } of this.#parsed.filter(isEmpty)) {
      const span = { file: readable.file, line: 1, column: 1, endLine: 1, endColumn: 1 };
      this.#diagnostics.push({
        severity: isError ? 'error' : 'warning',
        rule: 'empty-recipe',
        message: 'the recipe has no images',
        span,
        suggestion: 'an image is a name and a map of directives, such as `app: {from: scratch}`',
      });
    }
  }

  #reportCycle(files: readonly string[], from: SourceSpan | undefined): void {
    // A file asked for twice is no cycle.
    if (from !== undefined)
      this.#report('prerequisite-cycle', `prerequisites form a cycle: ${files.join(' -> ')}`, from);
  }

  #report(rule: string, message: string, span: SourceSpan | undefined): void {
    this.#diagnostics.push({ severity: 'error', rule, message, ...(span && { span }) });
  }
}

/** A recipe's text, and what its relative paths resolve against. */
interface RecipeText {
  readonly text: string;
  readonly directory: AbsPath;
}

function isUrl(file: string): boolean {
  return /^https?:\/\//.test(file);
}

/** Bytes; a character of the longest text takes at most three of them in UTF-8. */
const MOST_BYTES = YAML_LIMITS.textLength * 3;

async function readLocal(file: string): Promise<string> {
  const hint = 'name a recipe with -f FILE';
  // Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK;
  await using handle = await open(file, flags).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR') throw error;
    throw new StkError('not-found', `no such recipe: ${file}`, { cause: error, hint });
  });
  const status = await handle.stat();
  if (!status.isFile()) throw new StkError('invalid-input', `a recipe must be a file: ${file}`, { hint });
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of handle.createReadStream({ autoClose: false, highWaterMark: 1 << 18 })) {
    chunks.push(chunk as Buffer);
    sizeBytes += (chunk as Buffer).byteLength;
    if (sizeBytes > MOST_BYTES) break;
  }
  return recipeText(file, Buffer.concat(chunks));
}

function recipeText(file: string, bytes: Uint8Array): string {
  if (bytes.byteLength > MOST_BYTES) throw new StkError('invalid-input', `the recipe is too large: ${file}`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new StkError('invalid-input', `the recipe is not UTF-8: ${file}`, { cause: error });
  }
}
