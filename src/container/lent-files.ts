import path from 'node:path';
import { byteString, textOfByteString } from '../core/host-text.ts';
import { imagePath } from '../core/paths.ts';
import type { Cover, CoverParent } from '../mount/cover-files.ts';
import type { LayerStack } from '../squashfs/layer-stack.ts';

/**
 * What has to lie on an image so that a file can be mounted at a path: nothing where it has a regular file there, else a
 * cover that hides whatever it has (a link, wherever that leads, or a directory). `undefined` as well where the way there
 * is none that directories make.
 */
export async function coverFor(stack: LayerStack, wanted: string, signal?: AbortSignal): Promise<Cover | undefined> {
  const directory = imagePath(byteString(path.posix.dirname(wanted)));
  const found = await stack.resolve(directory, signal);
  if (!found && (await stack.lookup(directory, signal))) return undefined;
  const parent = found?.path ?? directory;
  const file = [parent, byteString(path.posix.basename(wanted))].filter(part => part !== '').join('/');
  if ((await stack.lookup(file, signal))?.inode.type === 'file') return undefined;
  const parents: CoverParent[] = [];
  const parts = parent === '' ? [] : parent.split('/');
  for (let depth = 0; depth <= parts.length; depth++) {
    const at = parts.slice(0, depth).join('/');
    const inode = (await stack.lookup(at, signal))?.inode;
    if (inode && inode.type !== 'directory') return undefined;
    const { mode, uid, gid, mtime } = inode ?? { mode: 0o755, uid: 0, gid: 0, mtime: 0 };
    parents.push({ path: textOfByteString(at), mode, uid, gid, mtimeSeconds: mtime });
  }
  return { path: textOfByteString(file), parents };
}
