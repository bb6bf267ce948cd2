import path from 'node:path';
import { hostBytes } from '../../core/host-text.ts';
import type { AbsPath } from '../../core/paths.ts';
import { temporaryName } from '../atomic-write.ts';
import { open, unlink, type FileHandle } from '../files.ts';

/**
 * Arguments for `bwrap --args`, which travel through a descriptor so that no value shows in a process list. See
 * `openUnnamedFile`.
 */
export async function openBwrapArguments(scratch: AbsPath, words: readonly string[]): Promise<FileHandle> {
  return openUnnamedFile(scratch, hostBytes(words.map(word => `${word}\0`).join('')));
}

/**
 * Bytes in a file without a name, at its beginning, for another program to read; nothing of them stays on a disk. The
 * handle is the caller's.
 *
 * @param scratch a directory of the caller's where the file has a name for a moment, mode 0600
 */
export async function openUnnamedFile(scratch: AbsPath, bytes: Uint8Array): Promise<FileHandle> {
  const file = temporaryName(path.join(scratch, 'bwrap-args'));
  await using written = await open(file, 'wx+', 0o600);
  await unlink(file);
  await written.writeFile(bytes);
  // A child shares the file offset; bubblewrap reads from the start.
  return await open(`/proc/self/fd/${written.fd}`, 'r');
}
