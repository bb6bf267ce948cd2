import type { MergeEntry } from './merge-result.ts';
import type { Desired } from './settle-path.ts';
import { isSame, ownXattrs, versionOf, type TreeNode } from './tree-versions.ts';

/** What the merge layer needs at a path to turn what the plain stack shows into what is desired; nothing if that is so. */
export async function entryFor(
  path: string,
  desired: Exclude<Desired, { type: 'regenerate' }>,
  plain: TreeNode,
  signal?: AbortSignal,
): Promise<MergeEntry | undefined> {
  if (desired.type === 'absent' || desired.at.node === undefined) {
    return plain.node === undefined ? undefined : { type: 'delete', path };
  }
  const { side, at } = desired;
  const node = desired.at.node;
  if (desired.type === 'node')
    return (await isSame(at, plain, signal)) ? undefined : { type: 'node', path, side, node };
  if (await isAlready(desired, plain, signal)) return undefined;
  const { bytes, attributes } = desired;
  return { type: 'merged', path, like: { side, node }, ...(bytes === undefined ? {} : { bytes }), attributes };
}

async function isAlready(
  { at, bytes, attributes }: Extract<Desired, { type: 'merged' }>,
  plain: TreeNode,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const inode = plain.node?.inode;
  const like = at.node!.inode;
  if (inode === undefined || inode.type !== like.type) return false;
  const { mode, uid, gid, xattrs } = attributes;
  if (inode.mode !== mode || inode.uid !== uid || inode.gid !== gid) return false;
  const own = await ownXattrs(plain, signal);
  if (own.size !== xattrs.size || ![...xattrs].every(([name, value]) => own.get(name)?.equals(value))) return false;
  if (inode.type === 'symlink') return like.type === 'symlink' && like.target === inode.target;
  if ('major' in inode) return 'major' in like && like.major === inode.major && like.minor === inode.minor;
  if (inode.type !== 'file') return true;
  if (bytes === undefined) return at.node!.inode.size === inode.size && contentIsSame(at, plain);
  return (
    inode.size === bytes.byteLength && Buffer.compare(await versionOf(plain, signal).read(inode.size), bytes) === 0
  );
}

/** Rewriting a file that is the same costs its bytes only; reading it to find out costs the same. */
function contentIsSame(at: TreeNode, plain: TreeNode): boolean {
  return (
    at.tree!.layerOf(at.node!) === plain.tree!.layerOf(plain.node!) && at.node!.inode.ref === plain.node!.inode.ref
  );
}
