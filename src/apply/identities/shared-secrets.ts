import type { LayerStack } from '../../squashfs/layer-stack.ts';
import { shown } from '../file-versions.ts';
import { isSame } from '../tree-versions.ts';
import { findIdentities } from './identity-files.ts';

/** A secret or identity of one machine in a layer that many images are to share. */
export interface SharedSecret {
  /** One sentence. */
  readonly text: string;
  /** The line that removes it, for the end of the script that made it. */
  readonly removal: string;
}

/** What an image has in its own layers that must not be the same in every image that applies it. */
export async function sharedSecrets(
  image: { readonly name: string; readonly tree: LayerStack; readonly base: LayerStack | undefined },
  signal?: AbortSignal,
): Promise<readonly SharedSecret[]> {
  const found: SharedSecret[] = [];
  for (const { what, paths, isPublic, removal } of await findIdentities([image.tree], signal)) {
    const own: string[] = [];
    for (const path of paths) {
      const node = await image.tree.lookup(path, signal);
      if (node?.inode.type !== 'file' || node.inode.size === 0) continue;
      const before = await image.base?.lookup(path, signal);
      if (!(await isSame({ tree: image.base, node: before }, { tree: image.tree, node }, signal))) own.push(path);
    }
    if (own.length === 0 || isPublic) continue;
    const text = `${shown(what)} (${own.map(path => `/${shown(path)}`).join(', ')}) lies in a layer of ${image.name} and is the same in every image that applies it`;
    found.push({ text, removal });
  }
  return found;
}
