import path from 'node:path';
import type { AbsPath } from '../core/paths.ts';
import { stat } from '../host/files.ts';

/**
 * Where what may be forgotten is kept for the user: `$XDG_CACHE_HOME/stk`, or `~/.cache/stk`. `undefined` where that lies in
 * the home of somebody else, as it may for root: nothing is to be left there, nor believed. The directory may not exist.
 */
export async function userCacheDirectory(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<AbsPath | undefined> {
  const { XDG_CACHE_HOME: named, HOME: home } = environment;
  const isNamed = named !== undefined && path.isAbsolute(named);
  const parent = isNamed ? named : home;
  if (parent === undefined || !path.isAbsolute(parent)) return undefined;
  const base = isNamed ? named : path.join(parent, '.cache');
  for (const directory of [base, path.dirname(base)]) {
    const found = await stat(directory).catch(() => undefined);
    if (found) return found.uid === process.geteuid?.() ? (path.join(base, 'stk') as AbsPath) : undefined;
  }
  return undefined;
}
