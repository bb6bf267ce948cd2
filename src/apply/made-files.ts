import path from 'node:path';
import { StkError, errnoOf } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { constants, open, realpath } from '../host/files.ts';
import type { MergedAttributes } from './driver.ts';
import type { MergeResult } from './merge-result.ts';
import { shownImagePath } from './printable.ts';

/** A generated file that is larger is refused: it is held in memory. */
const MOST_BYTES = 512 * 1024 * 1024;

/** A file that a program of the image made anew. */
export interface MadeFile {
  /** In the form of `imagePath`, as a byte string. */
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly attributes: MergedAttributes;
}

/**
 * Reads what programs made in a tree that nobody changes any more. Nothing below `root` is reached through a symlink: what
 * a program left behind is as little trusted as the image. Throws `conflict` where a file is not there, or is no file.
 */
export async function readMadeFiles(root: AbsPath, commands: MergeResult['regenerate']): Promise<readonly MadeFile[]> {
  // The way to the root is the host's, and may lead through symlinks.
  const realRoot = await realpath(root, { encoding: 'buffer' });
  const files: MadeFile[] = [];
  for (const { command, paths } of commands) {
    for (const file of paths) files.push(await readMade(realRoot, file, command));
  }
  return files;
}

async function readMade(realRoot: Buffer, file: string, command: readonly string[]): Promise<MadeFile> {
  const bytesOf = (text: string) => Buffer.from(text, 'latin1');
  const below = (directory: Buffer, name: string) => Buffer.concat([directory, Buffer.from('/'), bytesOf(name)]);
  const shown = shownImagePath(file);
  const missing = (cause?: unknown) =>
    new StkError('conflict', `${command.join(' ')} did not make ${shown} in the merged tree`, {
      cause,
      hint: 'settle the file with a rule: first or last under `conflicts`',
    });
  const directory = path.posix.dirname(file);
  const parent = directory === '.' ? realRoot : below(realRoot, directory);
  const real = await realpath(parent, { encoding: 'buffer' }).catch((cause: unknown) => {
    throw missing(cause);
  });
  if (!real.equals(parent)) throw missing();
  const name = below(parent, path.posix.basename(file));
  const handle = await open(name, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (cause: unknown) => {
      if (errnoOf(cause) === undefined) throw cause;
      throw missing(cause);
    },
  );
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw missing();
    if (stat.size > MOST_BYTES) throw new StkError('unsupported', `${shown} has ${stat.size} bytes: too many to merge`);
    const { uid, gid, mode } = stat;
    return {
      path: file,
      bytes: await handle.readFile(),
      attributes: { mode: mode & 0o7777, uid, gid, xattrs: new Map() },
    };
  } finally {
    await handle.close();
  }
}
