import type { MergeEntry } from './merge-result.ts';
import type { Settlement, Desired } from './settlement.ts';
import { differences, isSame, isSameInode, ownXattrs, versionOf, type TreeNode } from './tree-versions.ts';

/** What the merge layer needs at a path to turn what the plain stack shows into what is desired; nothing if that is so. */
export async function entryFor(
  path: string,
  { desired, same = [] }: Pick<Settlement, 'desired' | 'same'>,
  plain: TreeNode,
  signal?: AbortSignal,
): Promise<MergeEntry | undefined> {
  switch (desired.type) {
    case 'absent':
      return plain.node === undefined ? undefined : { type: 'delete', path };
    case 'regenerate':
      return undefined;
    case 'node': {
      if (same.some(node => isSameInode(node, plain)) || (await isSame(desired.at, plain, signal))) return undefined;
      return { type: 'node', path, side: desired.side, node: desired.at.node! };
    }
    case 'merged': {
      if (await isMerged(desired, plain, signal)) return undefined;
      const { side, at, bytes, attributes } = desired;
      return { type: 'merged', path, like: { side, node: at.node! }, ...(bytes ? { bytes } : {}), attributes };
    }
  }
}

async function isMerged(
  { at, bytes, attributes }: Extract<Desired, { type: 'merged' }>,
  plain: TreeNode,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const inode = plain.node?.inode;
  const { mode, uid, gid, xattrs } = attributes;
  if (inode?.mode !== mode || inode.uid !== uid || inode.gid !== gid) return false;
  const own = await ownXattrs(plain, signal);
  if (own.size !== xattrs.size || ![...xattrs].every(([name, value]) => own.get(name)?.equals(value))) return false;
  if (bytes === undefined) {
    const aspects = await differences(at, plain, signal);
    return aspects?.every(aspect => aspect === 'mode' || aspect === 'owner' || aspect === 'xattrs') === true;
  }
  if (inode.type !== 'file' || inode.size !== bytes.byteLength) return false;
  return (await versionOf(plain, signal).read(inode.size)).equals(bytes);
}
