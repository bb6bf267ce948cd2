import path from 'node:path';
import type { AbsPath } from '../core/paths.ts';
import { mkdir, mkdtemp, rm } from './files.ts';
import { disinherit } from './usual-settings.ts';

/** A directory that is removed with everything in it when disposed. */
export interface TempDir extends AsyncDisposable {
  readonly path: AbsPath;
}

export async function makeTempDir(parent: string, prefix: string): Promise<TempDir> {
  await mkdir(parent, { recursive: true });
  const directory = (await mkdtemp(path.join(parent, `${prefix}-`))) as AbsPath;
  await disinherit(directory, 0o700);
  return {
    path: directory,
    async [Symbol.asyncDispose]() {
      await rm(directory, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
