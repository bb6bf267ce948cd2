import { RecipeError, type Diagnostic } from '../../../core/diagnostics.ts';
import { EXIT } from '../../exit-status.ts';
import { renderDiagnostic } from '../../render-error.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { loadBuildRecipes, type SubstitutionFlags } from './load-recipes.ts';

/** `stk lint`: all problems of all files on stdout; returns the exit status. */
export async function runLint(
  session: Session,
  files: readonly string[],
  flags: SubstitutionFlags & { readonly json?: boolean },
): Promise<number> {
  const { diagnostics, sources, images } = await inspect(session, files, flags);
  const errors = diagnostics.filter(diagnostic => diagnostic.severity === 'error').length;
  if (flags.json) session.stdout.write(`${jsonText({ errors, images, diagnostics })}\n`);
  else {
    for (const diagnostic of diagnostics) {
      session.stdout.write(`${renderDiagnostic(diagnostic, sources, { color: session.color })}\n`);
    }
    if (errors === 0) session.stdout.write(`${printableLine(files.join(', '))}: ${images} images, no problems\n`);
  }
  return errors === 0 ? EXIT.ok : EXIT.recipe;
}

async function inspect(
  session: Session,
  files: readonly string[],
  flags: SubstitutionFlags,
): Promise<{ diagnostics: readonly Diagnostic[]; sources: ReadonlyMap<string, string>; images: number }> {
  try {
    const { warnings, sources, recipes } = await loadBuildRecipes(session, files, flags);
    return { diagnostics: warnings, sources, images: recipes.flatMap(recipe => recipe.images).length };
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    return { diagnostics: error.diagnostics, sources: error.sources, images: 0 };
  }
}
