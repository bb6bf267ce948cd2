import path from 'node:path';
import { maskUrls } from '../core/mask-urls.ts';
import type { AbsPath } from '../core/paths.ts';
import { runTool } from '../host/exec.ts';
import { access } from '../host/files.ts';
import type { Recipe } from '../recipe/model.ts';
import { recipeOrigin, type RecipeOrigin } from './image-origin.ts';

/** Where an image comes from: annotations for its manifest. */
export interface Provenance {
  readonly annotations: Readonly<Record<string, string>>;
  readonly recipe: RecipeOrigin;
}

/**
 * The recipe as written, before substitution, so that a substituted secret does not leak, without logins in URLs, with the git commit of its
 * directory and the version of stk.
 */
export async function provenanceOf(
  recipe: Recipe,
  namespace: string,
  version: string,
  signal?: AbortSignal,
): Promise<Provenance> {
  const git = await gitVersion(recipe.directory, signal);
  return {
    recipe: recipeOrigin(recipe, git),
    annotations: {
      [`${namespace}.stacker.stacker_yaml`]: maskUrls(recipe.text).text,
      ...(git === undefined ? {} : { [`${namespace}.stacker.git_version`]: git }),
      [`${namespace}.stacker.stacker_version`]: `stk ${version}`,
    },
  };
}

/**
 * `git describe --tags --dirty` of the work tree that holds a directory, the whole commit where no tag leads to it;
 * `undefined` outside of a work tree.
 */
async function gitVersion(directory: AbsPath, signal: AbortSignal | undefined): Promise<string | undefined> {
  if (!(await insideWorkTree(directory))) return undefined;
  const describe = async (...args: string[]) => {
    const command = ['-C', directory, 'describe', '--dirty', ...args];
    const found = await runTool('git', command, { signal, okExitCodes: [0, 128] }).catch(() => undefined);
    const text = found?.exitCode === 0 ? found.stdout.toString('utf8').trim() : '';
    return text === '' ? undefined : text;
  };
  return (await describe('--tags')) ?? (await describe('--always', '--abbrev=40', '--exclude=*'));
}

async function insideWorkTree(directory: string): Promise<boolean> {
  for (let current = directory; ; current = path.dirname(current)) {
    const found = await access(path.join(current, '.git')).then(
      () => true,
      () => false,
    );
    if (found) return true;
    if (current === path.dirname(current)) return false;
  }
}
