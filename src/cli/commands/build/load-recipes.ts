import path from 'node:path';
import { StkError } from '../../../core/errors.ts';
import { digestHex } from '../../../core/digest.ts';
import { absPath, joinInside, type AbsPath } from '../../../core/paths.ts';
import { writeFileAtomic } from '../../../host/atomic-write.ts';
import { mkdir, readFile } from '../../../host/files.ts';
import type { Platform } from '../../../oci/descriptor.ts';
import { hostPlatform } from '../../../oci/platform.ts';
import { loadRecipes, type LoadedRecipes } from '../../../recipe/load.ts';
import type { ParseCache } from '../../../recipe/parse-cache.ts';
import { stateDirectories } from '../../../builder/state-directories.ts';
import { builtInSubstitutions, parseSubstitution } from '../../../recipe/substitutions.ts';
import type { Session } from '../../session.ts';
import { httpReadText } from '../../../stores/http-files.ts';

export interface SubstitutionFlags {
  readonly substitute: readonly string[];
  readonly substituteFile: readonly string[];
  /** Stands for every substitution without a value. */
  readonly dummySubstitution?: string;
}

/** Reads recipes with the substitutions of the command line; later ones win, flags over files over built-in names. */
export async function loadBuildRecipes(
  session: Session,
  files: readonly string[],
  flags: SubstitutionFlags,
  platform: Platform = hostPlatform(),
): Promise<LoadedRecipes> {
  const { stkDir, ociDir } = session.global;
  const values = new Map(
    builtInSubstitutions(
      { rootfsDir: joinInside(stkDir, 'rootfs'), stkDir, ociDir, workDir: session.workingDirectory },
      platform,
    ),
  );
  for (const name of flags.substituteFile) {
    const file = absPath(name === '-' ? '/dev/stdin' : name, session.workingDirectory);
    const bytes = await session.given.read(file).catch((cause: unknown) => {
      throw new StkError('not-found', `cannot read --substitute-file ${file}`, { cause });
    });
    const { parseSubstitutionFile } = await import('../../../recipe/substitution-file.ts');
    for (const [key, value] of parseSubstitutionFile(file, bytes.toString('utf8'))) values.set(key, value);
  }
  for (const text of flags.substitute) values.set(...parseSubstitution(text));
  const named = files.map(file => (file === '-' ? '/dev/stdin' : file));
  return loadRecipes(named, {
    workingDirectory: session.workingDirectory,
    substitutions: values,
    ...(flags.dummySubstitution === undefined ? {} : { dummy: flags.dummySubstitution }),
    readText: httpReadText(() => session.stores.registries()),
    readPipe: file => session.given.readPipe(file),
    cache: parseCache(stateDirectories(stkDir).records, session.build),
    signal: session.signal,
  });
}

/** Parsed recipes beside the other records; readable to their owner alone, since substituted values are in them. */
function parseCache(records: AbsPath, version: string): ParseCache {
  const file = (key: Parameters<ParseCache['read']>[0]) =>
    joinInside(records, path.join('parse', `${digestHex(key)}.json`));
  return {
    version,
    read: key => readFile(file(key), 'utf8').catch(() => undefined),
    async write(key, text) {
      try {
        await mkdir(path.dirname(file(key)), { recursive: true });
        await writeFileAtomic(file(key), text, { mode: 0o600 });
      } catch {
        // Only time is lost.
      }
    },
  };
}
