import { RecipeError, type Diagnostic } from '../../../core/diagnostics.ts';
import { absPath, type AbsPath } from '../../../core/paths.ts';
import { isFleetText, parseFleet } from '../../../fleet/read-fleet.ts';
import { readFile, stat } from '../../../host/files.ts';
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
  const { fleets, recipes } = await sortFiles(session, files);
  const found = [
    ...(recipes.length > 0 || fleets.length === 0 ? [await inspect(session, recipes, flags)] : []),
    ...fleets.map(inspectFleet),
  ];
  const diagnostics = found.flatMap(each => each.diagnostics);
  const sources = new Map(found.flatMap(each => [...each.sources]));
  const images = found.reduce((sum, each) => sum + each.images, 0);
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

interface Inspected {
  readonly diagnostics: readonly Diagnostic[];
  readonly sources: ReadonlyMap<string, string>;
  readonly images: number;
}

interface FleetFile {
  readonly file: AbsPath;
  readonly text: string;
}

/** Fleet files are told from recipes by what is in them. What cannot be read here is for the recipes' reader to complain of. */
async function sortFiles(
  session: Session,
  files: readonly string[],
): Promise<{ readonly fleets: readonly FleetFile[]; readonly recipes: readonly string[] }> {
  const fleets: FleetFile[] = [];
  const recipes: string[] = [];
  for (const name of files) {
    const file = absPath(name, session.workingDirectory);
    const isPath = name !== '-' && !/^https?:/.test(name);
    const text = isPath ? await readRegularText(file) : undefined;
    if (text !== undefined && isFleetText(text)) fleets.push({ file, text });
    else recipes.push(name);
  }
  return { fleets, recipes };
}

/** Pipes can be read once only: they are left alone. */
async function readRegularText(file: AbsPath): Promise<string | undefined> {
  try {
    return (await stat(file)).isFile() ? await readFile(file, 'utf8') : undefined;
  } catch {
    return undefined;
  }
}

function inspectFleet({ file, text }: FleetFile): Inspected {
  const { fleet, diagnostics } = parseFleet(text, file);
  return { diagnostics, sources: new Map([[file, text]]), images: fleet?.images.length ?? 0 };
}

async function inspect(session: Session, files: readonly string[], flags: SubstitutionFlags): Promise<Inspected> {
  try {
    const { warnings, sources, recipes } = await loadBuildRecipes(session, files, flags);
    return { diagnostics: warnings, sources, images: recipes.flatMap(recipe => recipe.images).length };
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    return { diagnostics: error.diagnostics, sources: error.sources, images: 0 };
  }
}
