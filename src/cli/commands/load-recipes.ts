import { readFile } from 'node:fs/promises';
import { StkError } from '../../core/errors.ts';
import { absPath, joinInside } from '../../core/paths.ts';
import { loadRecipes, type LoadedRecipes } from '../../recipe/load.ts';
import { builtInSubstitutions, parseSubstitution, parseSubstitutionFile } from '../../recipe/substitutions.ts';
import type { Session } from '../session.ts';
import { makeReadText } from './network-ports.ts';

export interface SubstitutionFlags {
  readonly substitute: readonly string[];
  readonly substituteFile: readonly string[];
}

/** Reads recipes with the substitutions of the command line; later ones win, flags over files over built-in names. */
export async function loadBuildRecipes(
  session: Session,
  files: readonly string[],
  flags: SubstitutionFlags,
): Promise<LoadedRecipes> {
  const { stkDir, ociDir } = session.global;
  const values = new Map(
    builtInSubstitutions({
      rootfsDir: joinInside(stkDir, 'rootfs'),
      stkDir,
      ociDir,
      workDir: session.workingDirectory,
    }),
  );
  for (const name of flags.substituteFile) {
    const file = absPath(name, session.workingDirectory);
    const text = await readFile(file, 'utf8').catch((cause: unknown) => {
      throw new StkError('not-found', `cannot read --substitute-file ${file}`, { cause });
    });
    for (const [key, value] of parseSubstitutionFile(file, text)) values.set(key, value);
  }
  for (const text of flags.substitute) values.set(...parseSubstitution(text));
  return loadRecipes(files, {
    workingDirectory: session.workingDirectory,
    substitutions: values,
    readText: makeReadText(session),
    signal: session.signal,
  });
}
