import { StkError } from '../core/errors.ts';
import { imagePath } from '../core/paths.ts';
import type { LayerStack, MergedNode } from '../squashfs/layer-stack.ts';
import type { LowerLeaf } from './lower-tree.ts';
import type { SparseSegment, TarEntry } from './tar-entry.ts';
import { shownPath } from './tar-error.ts';

/** Shorter holes are written as zeros, which bounds the list of stretches. */
const MIN_HOLE_BYTES = 1024 * 1024;
/** Read at once; a multiple of every block size that squashfs knows. */
const PIECE_BYTES = 4 * 1024 * 1024;

/** What a stack of layers has at a path, if it is no directory, to be copied into a layer above. */
export async function leafInStack(stack: LayerStack, path: string): Promise<LowerLeaf | undefined> {
  const node = await stack.lookup(imagePath(path));
  if (node === undefined || node.inode.type === 'directory') return undefined;
  const { inode, layer } = node;
  if (inode.type === 'socket') {
    throw new StkError('unsupported', `a layer has a hard link to ${shownPath(path)}, which is a socket`);
  }
  return {
    sizeBytes: inode.type === 'file' ? inode.size : 0,
    ...(inode.type === 'symlink' ? { target: inode.target } : {}),
    ...(inode.nlink > 1 ? { identity: `${layer}:${inode.ref}` } : {}),
    entry: () => entryOf(stack, node, inode.type as Exclude<typeof inode.type, 'socket'>),
    content: entry => contentOf(stack, node, entry),
  };
}

async function entryOf(
  stack: LayerStack,
  node: MergedNode,
  type: Exclude<MergedNode['inode']['type'], 'socket'>,
): Promise<TarEntry> {
  const { inode } = node;
  const { mode, uid, gid, mtime } = inode;
  const sparse = await stretches(stack, node);
  return {
    ...{ type, path: '', mode, uid, gid, mtimeSeconds: mtime },
    linkPath: inode.type === 'symlink' ? inode.target : '',
    sizeBytes: inode.type === 'file' ? inode.size : 0,
    deviceMajor: 'major' in inode ? inode.major : 0,
    deviceMinor: 'minor' in inode ? inode.minor : 0,
    xattrs: await stack.xattrs(node),
    ...(sparse ? { sparse } : {}),
  };
}

/** Where a file's bytes are between its long holes; `undefined` where it has none. */
async function stretches(stack: LayerStack, node: MergedNode): Promise<readonly SparseSegment[] | undefined> {
  const { inode } = node;
  if (inode.type !== 'file') return undefined;
  const reader = stack.layerOf(node);
  const found = [{ offset: 0, length: 0 }];
  let at = 0;
  const store = (length: number) => {
    const last = found.at(-1)!;
    if (at - last.offset - last.length < MIN_HOLE_BYTES) last.length = at + length - last.offset;
    else found.push({ offset: at, length });
  };
  for await (const { storedBytes } of reader.dataBlocks(inode)) {
    const length = Math.min(reader.superblock.blockBytes, inode.size - at);
    if (storedBytes > 0) store(length);
    at += length;
  }
  // The fragment has the rest.
  if (at < inode.size) store(inode.size - at);
  return found[0]!.length === inode.size ? undefined : found.filter(({ length }) => length > 0);
}

async function* contentOf(
  stack: LayerStack,
  node: MergedNode,
  { sizeBytes, sparse }: TarEntry,
): AsyncGenerator<Uint8Array, void> {
  for (const { offset, length } of sparse ?? [{ offset: 0, length: sizeBytes }]) {
    for (let done = 0; done < length; done += PIECE_BYTES) {
      yield await stack.readFile(node, { offset: offset + done, length: Math.min(PIECE_BYTES, length - done) });
    }
  }
}
