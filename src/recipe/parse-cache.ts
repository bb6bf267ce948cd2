import { canonicalJson } from '../core/canonical-json.ts';
import type { Diagnostic, SourceSpan } from '../core/diagnostics.ts';
import { digestOf, type Digest } from '../core/digest.ts';
import { maskUrls } from '../core/mask-urls.ts';
import type { Recipe } from './model.ts';
import type { ParsedRecipe, ParseOptions } from './parse.ts';

/** Keeps small texts; losing them costs time only. Neither function throws: a cache that fails is an empty one. */
export interface ParseCache {
  /** Differs between builds of stk whose parsers may differ. */
  readonly version: string;
  read(key: Digest): Promise<string | undefined>;
  /** Stores all of the text or nothing. */
  write(key: Digest, text: string): Promise<void>;
}

interface Stored {
  readonly recipe: Omit<Recipe, 'text'>;
  readonly prerequisiteSpans: readonly (readonly [string, SourceSpan])[];
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * `parseRecipe`, remembered: what was read before without an error is not read again, and then neither the YAML parser
 * nor the validator is even loaded, which is most of what an unchanged build would spend on its recipe.
 */
export async function parseCached(text: string, options: ParseOptions, cache?: ParseCache): Promise<ParsedRecipe> {
  const key = cache && keyOf(text, options, cache.version);
  const stored = key && revive(await cache.read(key), text);
  if (stored) return stored;
  const { parseRecipe } = await import('./parse.ts');
  const parsed = parseRecipe(text, options);
  const result = key && parsed.recipe !== undefined ? store(parsed, parsed.recipe) : undefined;
  // What a login opens must not outlive the recipe that holds it.
  if (key && result !== undefined && maskUrls(result).text === result) await cache.write(key, result);
  return parsed;
}

function keyOf(text: string, options: ParseOptions, version: string): Digest {
  const { file, directory, workingDirectory, substitutions, dummy } = options;
  const values = Object.fromEntries(substitutions ?? []);
  return digestOf(canonicalJson({ version, text, file, directory, workingDirectory, values, dummy }));
}

/** The text is part of the key; JSON leaves the undefined member out. */
function store({ prerequisiteSpans, diagnostics }: ParsedRecipe, recipe: Recipe): string {
  const bare = { ...recipe, text: undefined };
  return JSON.stringify({ recipe: bare, prerequisiteSpans: [...prerequisiteSpans], diagnostics } satisfies Stored);
}

/** A damaged entry is none. */
function revive(stored: string | undefined, text: string): ParsedRecipe | undefined {
  if (stored === undefined) return undefined;
  try {
    const { recipe: bare, prerequisiteSpans, diagnostics } = JSON.parse(stored) as Stored;
    if (!Array.isArray(bare.images) || !Array.isArray(diagnostics)) return undefined;
    const recipe: Recipe = { ...bare, text };
    return { recipe, readable: recipe, unreadable: [], prerequisiteSpans: new Map(prerequisiteSpans), diagnostics };
  } catch {
    return undefined;
  }
}
