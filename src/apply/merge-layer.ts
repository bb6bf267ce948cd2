import { StkError, throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { LayerBlob } from '../layer/layer-blob.ts';
import { layerXattrs } from '../layer/overlay-xattrs.ts';
import { LayerTree } from '../layer/layer-tree.ts';
import { emptyLower } from '../layer/lower-tree.ts';
import type { PackOptions } from '../layer/pack-options.ts';
import { lookupInStack } from '../layer/stack-lookup.ts';
import { SquashfsWriter } from '../layer/squashfs-writer.ts';
import type { TarEntry } from '../layer/tar-entry.ts';
import type { LayerStack, MergedNode } from '../squashfs/layer-stack.ts';
import type { MergeProblem } from './merge-problem.ts';
import type { MergedAttributes, MergeEntry, MergeResult } from './merge-result.ts';

export interface MergeLayerRequest {
  readonly result: Pick<MergeResult, 'entries'>;
  readonly problem: MergeProblem;
  /** The file to create; removed again on failure. */
  readonly output: AbsPath;
  readonly packing: PackOptions;
  /** Seconds since the Unix epoch; newer times are set to it. */
  readonly epochSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes the merge layer. Directories on the way that are not entries keep the attributes that the plain stack shows. A
 * directory that stands where a lower layer has none needs no opaque mark: overlayfs merges down to the first layer whose
 * entry is no directory, and stops at a whiteout (Documentation/filesystems/overlayfs.rst). Hard links come apart.
 */
export async function writeMergeLayer(request: MergeLayerRequest): Promise<LayerBlob> {
  const { problem, signal, output, packing } = request;
  const { plain } = problem;
  const tree = new LayerTree(
    plain === undefined
      ? emptyLower
      : {
          lookup: path => lookupInStack(plain, path),
          isDirectory: async path => (await lookupInStack(plain, path))?.type === 'directory',
        },
  );
  await using writer = await SquashfsWriter.start(output, packing, signal);
  for (const [number, entry] of request.result.entries.entries()) {
    throwIfAborted(signal);
    if (entry.type === 'delete') {
      tree.whiteOut(await tree.place(entry.path));
      continue;
    }
    const from = sourceOf(problem, entry);
    const attributes = entry.type === 'merged' ? entry.attributes : await attributesOf(from);
    const tarEntry = tarEntryOf(entry, from.node, attributes, request.epochSeconds);
    if (tarEntry.type === 'directory') {
      if (entry.path === '') Object.assign(tree.root, { attributes: tarEntry, origin: 'entry' });
      else tree.putDirectory(await tree.place(entry.path), tarEntry);
      continue;
    }
    const place = await tree.place(entry.path);
    const target = tarEntry.type === 'symlink' ? { target: tarEntry.linkPath } : {};
    tree.putLeaf(place, { kind: 'leaf', entry: number, path: entry.path, ...target });
    await writer.entry(tarEntry);
    if (tarEntry.type !== 'file') continue;
    await writeContent(writer, entry, from, signal);
    await writer.endBody(tarEntry.sizeBytes);
  }
  return await writer.finish(tree);
}

interface Source {
  readonly tree: LayerStack;
  readonly node: MergedNode;
}

function sourceOf(problem: MergeProblem, entry: Exclude<MergeEntry, { type: 'delete' }>): Source {
  const { side, node } = entry.type === 'node' ? entry : entry.like;
  const tree = side < 0 ? problem.ancestor : problem.sides[side]?.tree;
  if (!tree) throw new Error(`no tree for side ${side}`);
  return { tree, node };
}

async function attributesOf({ tree, node }: Source): Promise<MergedAttributes> {
  const { mode, uid, gid } = node.inode;
  return { mode, uid, gid, xattrs: layerXattrs(await tree.xattrs(node)) };
}

function tarEntryOf(
  entry: Exclude<MergeEntry, { type: 'delete' }>,
  { inode }: MergedNode,
  { mode, uid, gid, xattrs }: MergedAttributes,
  epochSeconds: number | undefined,
): TarEntry {
  const bytes = entry.type === 'merged' ? entry.bytes : undefined;
  if (inode.type === 'socket') {
    throw new StkError(
      'unsupported',
      `/${Buffer.from(entry.path, 'latin1').toString('utf8')} is a socket: no layer holds one`,
    );
  }
  const isFile = inode.type === 'file';
  return {
    type: inode.type,
    path: entry.path,
    linkPath: inode.type === 'symlink' ? inode.target : '',
    ...{ mode, uid, gid, xattrs },
    mtimeSeconds: Math.min(inode.mtime, epochSeconds ?? Number.MAX_SAFE_INTEGER),
    sizeBytes: isFile ? (bytes?.byteLength ?? inode.size) : 0,
    deviceMajor: 'major' in inode ? inode.major : 0,
    deviceMinor: 'minor' in inode ? inode.minor : 0,
  };
}

async function writeContent(
  writer: SquashfsWriter,
  entry: MergeEntry,
  { tree, node }: Source,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (entry.type === 'merged' && entry.bytes !== undefined) return writer.body(entry.bytes);
  for await (const chunk of tree.openFile(node, signal)) await writer.body(chunk);
}
