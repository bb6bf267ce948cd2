import { errnoOf, throwIfAborted } from '../core/errors.ts';
import { absPath, type AbsPath } from '../core/paths.ts';
import { readdir, stat } from '../host/files.ts';

export interface FindOptions {
  /** Tested against the absolute path; `stacker.yaml` files by default. */
  readonly pattern?: RegExp;
  /** Absolute paths of directories that are not entered, such as the work directory of stk. */
  readonly skip?: readonly AbsPath[];
  readonly signal?: AbortSignal;
}

const DEFAULT_PATTERN = /\/stacker\.yaml$/;
const NEVER_ENTERED: ReadonlySet<string> = new Set(['.git', 'node_modules', '.stk', '.stacker']);

/**
 * The recipes below a directory, sorted by path. Links to files count; links to directories are not followed, so that no
 * loop is walked. Directories that cannot be read or vanish meanwhile are passed over, but for the first.
 */
export async function findRecipes(directory: AbsPath, options: FindOptions = {}): Promise<readonly AbsPath[]> {
  const pattern = new RegExp(
    options.pattern ?? DEFAULT_PATTERN,
    (options.pattern ?? DEFAULT_PATTERN).flags.replace(/[gy]/g, ''),
  );
  const skip = new Set<string>(options.skip);
  const pending: AbsPath[] = [directory];
  const found: AbsPath[] = [];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    throwIfAborted(options.signal);
    try {
      for (const entry of await readdir(at, { withFileTypes: true })) {
        const path = absPath(entry.name, at);
        if (entry.isDirectory()) {
          if (!NEVER_ENTERED.has(entry.name) && !skip.has(path)) pending.push(path);
        } else if (pattern.test(path) && (entry.isFile() || (entry.isSymbolicLink() && (await isFile(path))))) {
          found.push(path);
        }
      }
    } catch (error) {
      if (at === directory || !['EACCES', 'EPERM', 'ENOENT'].includes(errnoOf(error) ?? '')) throw error;
    }
  }
  return found.sort();
}

async function isFile(path: string): Promise<boolean> {
  const target = await stat(path).catch(() => undefined);
  return target?.isFile() ?? false;
}
