import type { AbsPath } from '../../core/paths.ts';
import { runTool } from '../exec.ts';

/** Paths of the character devices below a directory, relative to it, as byte strings (latin1); symlinks are not followed. */
export async function findCharacterDevices(root: AbsPath, signal?: AbortSignal): Promise<readonly string[]> {
  const args = ['.', '-mindepth', '1', '-type', 'c', '-printf', '%P\\0'];
  const { stdout } = await runTool('find', args, { cwd: root, signal });
  return stdout.toString('latin1').split('\0').slice(0, -1);
}
