import { throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { LayerBlob } from '../layer/layer-blob.ts';
import { pathOf, type LayerLeaf } from '../layer/layer-node.ts';
import { LayerTree } from '../layer/layer-tree.ts';
import type { LowerLookup, LowerNode } from '../layer/lower-tree.ts';
import { layerXattrs } from '../layer/overlay-xattrs.ts';
import type { PackOptions } from '../layer/pack-options.ts';
import { SquashfsWriter } from '../layer/squashfs-writer.ts';
import { lookupInStack } from '../layer/stack-lookup.ts';
import type { TarEntry } from '../layer/tar-entry.ts';
import type { LayerStack, MergedNode } from '../squashfs/layer-stack.ts';
import type { SquashfsReader } from '../squashfs/squashfs-reader.ts';
import type { MergeProblem } from './merge-problem.ts';
import type { MergedAttributes } from './driver.ts';
import type { MergeEntry, MergeResult } from './merge-result.ts';

export interface MergeLayerRequest {
  readonly result: Pick<MergeResult, 'entries'>;
  /** The one that the result answers. */
  readonly problem: MergeProblem;
  /** The file to create; removed again on failure. */
  readonly output: AbsPath;
  readonly packing: PackOptions;
  /** Seconds since the Unix epoch; newer times are set to it. */
  readonly epochSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

type Present = Exclude<MergeEntry, { type: 'delete' }>;

/** Where an entry's node lies. */
interface Source {
  readonly tree: LayerStack;
  readonly node: MergedNode;
}

/**
 * Writes the merge layer; the same result over the same layers gives the same bytes. Directories on the way that are not
 * entries, the root among them, keep the attributes that the plain stack shows. A directory that stands where that shows
 * none needs no opaque mark: overlayfs merges down to the first layer whose entry is no directory, and stops at a whiteout
 * (Documentation/filesystems/overlayfs.rst). Names of one file that are taken as they are stay hard links. A socket, which no packed layer holds and which nobody
 * could connect to, becomes a whiteout.
 */
export async function writeMergeLayer(request: MergeLayerRequest): Promise<LayerBlob> {
  const { problem, result, signal, output, packing, epochSeconds = Number.MAX_SAFE_INTEGER } = request;
  const below = lowerOf(problem.plain, epochSeconds);
  const tree = new LayerTree(below);
  const root = await below.lookup('');
  if (root?.type === 'directory') Object.assign(tree.root, { attributes: root.attributes, origin: 'lower' });
  await using writer = await SquashfsWriter.start(output, packing, signal);
  const links = new Links();
  for (const [number, entry] of result.entries.entries()) {
    throwIfAborted(signal);
    const source = entry.type === 'delete' ? undefined : sourceOf(problem, entry);
    const type = source?.node.inode.type;
    if (entry.type === 'delete' || source === undefined || type === undefined || type === 'socket') {
      tree.whiteOut(await tree.place(entry.path));
      continue;
    }
    const attributes = entry.type === 'merged' ? entry.attributes : await attributesOf(source, signal);
    const tarEntry = tarEntryOf({ entry, type, source, attributes, epochSeconds });
    if (tarEntry.type === 'directory') {
      if (entry.path === '') Object.assign(tree.root, { attributes: tarEntry, origin: 'entry' });
      else tree.putDirectory(await tree.place(entry.path), tarEntry);
      continue;
    }
    const target = tarEntry.type === 'symlink' ? { target: tarEntry.linkPath } : {};
    const place = await tree.place(entry.path);
    const first = links.of(entry, source);
    if (first) {
      tree.putLeaf(place, first);
      await writer.entry({
        ...tarEntry,
        type: 'hardlink',
        linkPath: pathOf(first.place),
        sizeBytes: 0,
        xattrs: new Map(),
      });
      continue;
    }
    const leaf: LayerLeaf = { kind: 'leaf', entry: number, place, ...target };
    tree.putLeaf(place, leaf);
    links.add(entry, source, leaf);
    await writer.entry(tarEntry);
    if (tarEntry.type !== 'file') continue;
    await writeContent(writer, entry, source, signal);
    await writer.endBody(tarEntry.sizeBytes);
  }
  return await writer.finish(tree);
}

/** Leaves by the file that they are taken from, with its owners: sides may show different ones. */
class Links {
  readonly #leaves = new Map<SquashfsReader, Map<string, LayerLeaf>>();

  of(entry: Present, { tree, node }: Source): LayerLeaf | undefined {
    return entry.type === 'node' ? this.#leaves.get(tree.layerOf(node))?.get(key(node)) : undefined;
  }

  add(entry: Present, { tree, node }: Source, leaf: LayerLeaf): void {
    if (entry.type !== 'node' || node.inode.nlink < 2) return;
    const layer = tree.layerOf(node);
    const leaves = this.#leaves.get(layer) ?? new Map<string, LayerLeaf>();
    this.#leaves.set(layer, leaves.set(key(node), leaf));
  }
}

function key({ inode: { ref, uid, gid } }: MergedNode): string {
  return `${ref}:${uid}:${gid}`;
}

/** What the plain stack shows, times no later than the epoch. */
function lowerOf(plain: LayerStack | undefined, epochSeconds: number): LowerLookup {
  const lookup = async (path: string): Promise<LowerNode | undefined> => {
    const node = plain && (await lookupInStack(plain, path));
    if (node?.type !== 'directory') return node;
    const { attributes } = node;
    return { ...node, attributes: { ...attributes, mtimeSeconds: Math.min(attributes.mtimeSeconds, epochSeconds) } };
  };
  return { lookup, isDirectory: async path => (await lookup(path))?.type === 'directory' };
}

function sourceOf(problem: MergeProblem, entry: Present): Source {
  const { side, node } = entry.type === 'node' ? entry : entry.like;
  const tree = side < 0 ? problem.ancestor : problem.sides[side]?.tree;
  if (!tree) throw new Error(`no tree for side ${side}`);
  return { tree, node };
}

async function attributesOf({ tree, node }: Source, signal: AbortSignal | undefined): Promise<MergedAttributes> {
  const { mode, uid, gid } = node.inode;
  return { mode, uid, gid, xattrs: await tree.xattrs(node, signal) };
}

function tarEntryOf({
  entry,
  type,
  source,
  attributes,
  epochSeconds,
}: {
  readonly entry: Present;
  readonly type: Exclude<MergedNode['inode']['type'], 'socket'>;
  readonly source: Source;
  readonly attributes: MergedAttributes;
  readonly epochSeconds: number;
}): TarEntry {
  const { inode } = source.node;
  const { mode, uid, gid, xattrs } = attributes;
  const bytes = entry.type === 'merged' ? entry.bytes : undefined;
  return {
    type,
    path: entry.path,
    linkPath: inode.type === 'symlink' ? inode.target : '',
    ...{ mode, uid, gid },
    mtimeSeconds: Math.min(inode.mtime, epochSeconds),
    sizeBytes: type === 'file' ? (bytes?.byteLength ?? inode.size) : 0,
    deviceMajor: 'major' in inode ? inode.major : 0,
    deviceMinor: 'minor' in inode ? inode.minor : 0,
    xattrs: layerXattrs(xattrs),
  };
}

async function writeContent(
  writer: SquashfsWriter,
  entry: Present,
  { tree, node }: Source,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (entry.type === 'merged' && entry.bytes !== undefined) return writer.body(entry.bytes);
  for await (const chunk of tree.openFile(node, signal)) await writer.body(chunk);
}
