import { AsyncScope } from '../core/async-scope.ts';
import { StkError } from '../core/errors.ts';
import { imagePath } from '../core/paths.ts';
import type { DirectoryEntry } from './directory.ts';
import type { DirectoryInode, FileInode, Inode } from './inode.ts';
import { isOpaque, isWhiteout } from './overlay.ts';
import { mapId, mapsAny, mapsOwner, type OwnerIds, type OwnerMap } from './owner-map.ts';
import { lookupPath, resolvePath, type PathTree, type Resolved } from './resolve-path.ts';
import type { ReadFileOptions, SquashfsReader } from './squashfs-reader.ts';
import { walkTree, type WalkEntry, type WalkOptions } from './walk.ts';
import type { Xattrs } from './xattrs.ts';

/** A directory of one layer; `layer` counts from the bottom, 0. */
export interface LayerDirectory {
  readonly layer: number;
  readonly inode: DirectoryInode;
}

/** What an overlay of the layers shows at one path. */
export interface MergedNode {
  /** From the uppermost layer that has it: attributes, xattrs and content are this one's alone. */
  readonly inode: Inode;
  /** The layer of `inode`, counted from the bottom, 0. */
  readonly layer: number;
  /** For a directory, those whose entries it shows, uppermost first; empty for everything else. */
  readonly directories: readonly LayerDirectory[];
  /** Owner and group as they are stored, where the stack shows others. */
  readonly stored?: OwnerIds;
}

export interface MergedEntry {
  readonly name: string;
  readonly node: MergedNode;
}

/**
 * Layers seen as overlayfs shows them with `userxattr`: an upper layer's whiteout deletes, its non-directory hides, its
 * directory merges with those below down to the first that is opaque or no directory. Whiteouts are never shown. Paths and
 * errors are as for `SquashfsReader`. Owns the layers.
 */
export class LayerStack implements AsyncDisposable {
  /** From the bottom up. */
  readonly layers: readonly SquashfsReader[];
  readonly #tree: PathTree<MergedNode>;
  readonly #owners: ReadonlyMap<number, OwnerMap>;

  /**
   * @param layers from the bottom up, at least one
   * @param owners other owners to show for the nodes of some of these layers
   */
  constructor(layers: readonly SquashfsReader[], owners: ReadonlyMap<SquashfsReader, OwnerMap> = new Map()) {
    if (layers.length === 0) throw new Error('a stack needs at least one layer');
    this.layers = layers;
    const mapped = new Map<number, OwnerMap>();
    for (const [index, layer] of layers.entries()) {
      const map = owners.get(layer);
      if (map && mapsAny(map, layer.ownerIds)) mapped.set(index, map);
    }
    this.#owners = mapped;
    this.#tree = {
      name: layers.map(layer => layer.name).join(':'),
      child: (node, name, signal) => this.child(node, name, signal),
      target: node => (node.inode.type === 'symlink' ? node.inode.target : undefined),
    };
  }

  /** The layer that a node's attributes and content come from. */
  layerOf(node: MergedNode): SquashfsReader {
    return this.layers[node.layer]!;
  }

  /** The same layers with other owners for the nodes of some of them. Owns nothing. */
  withOwners(owners: ReadonlyMap<SquashfsReader, OwnerMap>): LayerStack {
    return new LayerStack(this.layers, owners);
  }

  /** What is shown for the owners of a layer's nodes, counted from the bottom, 0; `undefined` where they are as stored. */
  ownersOf(layer: number): OwnerMap | undefined {
    return this.#owners.get(layer);
  }

  /** The merged root. The kernel merges the layers' roots whatever their marks say. */
  async root(signal?: AbortSignal): Promise<MergedNode> {
    const directories: LayerDirectory[] = [];
    for (let layer = this.layers.length - 1; layer >= 0; layer--) {
      directories.push({ layer, inode: await this.layers[layer]!.root(signal) });
    }
    return this.#shown({ ...directories[0]!, directories });
  }

  /** The child of a directory; `undefined` for none, and where the node is no directory. */
  async child(node: MergedNode, name: string, signal?: AbortSignal): Promise<MergedNode | undefined> {
    const below = node.directories.map(({ layer, inode }) => ({
      layer,
      open: () => this.layers[layer]!.child(inode, name, signal),
    }));
    return this.#merge(below, signal);
  }

  /** The node at a path; no symlink is followed and `..` is taken lexically. */
  async lookup(path: string, signal?: AbortSignal): Promise<MergedNode | undefined> {
    return lookupPath(this.#tree, await this.root(signal), imagePath(path), signal);
  }

  /** The node that a process with this stack as its root finds at a path, symlinks followed across layers. */
  async resolve(path: string, signal?: AbortSignal): Promise<Resolved<MergedNode> | undefined> {
    return resolvePath(this.#tree, await this.root(signal), path, signal);
  }

  /** The entries of a directory, names ascending by bytes. */
  async *readDirectory(node: MergedNode, signal?: AbortSignal): AsyncGenerator<MergedEntry, void, undefined> {
    const listings = node.directories.map(({ layer, inode }) => new Listing(this.layers[layer]!, layer, inode, signal));
    for (;;) {
      for (const listing of listings) if (listing.exhausted) await listing.advance();
      let name: string | undefined;
      for (const { head } of listings) {
        if (head !== undefined && (name === undefined || head.name < name)) name = head.name;
      }
      if (name === undefined) return;
      const same = listings
        .filter(listing => listing.head?.name === name)
        .map(listing => {
          const entry = listing.take();
          return { layer: listing.layer, open: () => listing.reader.inode(entry, signal) };
        });
      const merged = await this.#merge(same, signal);
      if (merged !== undefined) yield { name, node: merged };
    }
  }

  async xattrs(node: MergedNode, signal?: AbortSignal): Promise<Xattrs> {
    return this.layerOf(node).xattrs(node.inode, signal);
  }

  /** As `SquashfsReader.readFile`. Throws `invalid-input` where the node is no regular file. */
  async readFile(node: MergedNode, options: ReadFileOptions = {}): Promise<Buffer> {
    return this.layerOf(node).readFile(fileOf(node), options);
  }

  /** As `SquashfsReader.openFile`. Throws `invalid-input` where the node is no regular file. */
  openFile(node: MergedNode, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    return this.layerOf(node).openFile(fileOf(node), signal);
  }

  /** Everything below a path, itself first, names ascending; as `SquashfsReader.walk`. */
  async *walk(options: WalkOptions<MergedNode> = {}): AsyncGenerator<WalkEntry<MergedNode>, void, undefined> {
    const { signal } = options;
    await using scope = new AsyncScope();
    for (const layer of this.layers) {
      const large = layer.readSequentially();
      scope.defer(() => large[Symbol.dispose]());
    }
    const path = imagePath(options.path ?? '');
    const node = await this.lookup(path, signal);
    if (node === undefined) throw new StkError('not-found', `no layer has /${path}`, { facts: { path } });
    const guards = this.layers.map(layer => layer.walkGuard());
    const tree = {
      list: (merged: MergedNode) => {
        if (merged.directories.length === 0) return undefined;
        for (const { layer, inode } of merged.directories) guards[layer]!.enter(inode);
        return inRuns(this.readDirectory(merged, signal));
      },
      open: (entry: MergedEntry) => entry.node,
    };
    yield* walkTree(tree, { path, node }, options);
  }

  /** What the candidates of one name, uppermost first, show together; those below the deciding one are not opened. */
  async #merge(
    candidates: Iterable<{ readonly layer: number; readonly open: () => Promise<Inode | undefined> }>,
    signal: AbortSignal | undefined,
  ): Promise<MergedNode | undefined> {
    const directories: LayerDirectory[] = [];
    for (const { layer, open } of candidates) {
      const inode = await open();
      if (inode === undefined) continue;
      if (inode.type !== 'directory') {
        if (directories.length === 0 && !isWhiteout(inode)) return this.#shown({ inode, layer, directories });
        break;
      }
      directories.push({ layer, inode });
      if (inode.xattrIndex !== undefined && isOpaque(await this.layers[layer]!.xattrs(inode, signal))) break;
    }
    const top = directories[0];
    return top && this.#shown({ ...top, directories });
  }

  #shown(node: MergedNode): MergedNode {
    const map = this.#owners.get(node.layer);
    if (map === undefined || !mapsOwner(map, node.inode)) return node;
    const { uid, gid } = node.inode;
    const inode = { ...node.inode, uid: mapId(map.uids, uid), gid: mapId(map.gids, gid) };
    return { ...node, inode, stored: { uid, gid } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using scope = new AsyncScope();
    for (const layer of this.layers) scope.use(layer);
  }
}

function fileOf({ inode }: MergedNode): FileInode {
  if (inode.type === 'file') return inode;
  throw new StkError('invalid-input', `a ${inode.type} has no content to read`);
}

async function* inRuns<T>(items: AsyncIterable<T>): AsyncGenerator<readonly T[], void, undefined> {
  for await (const item of items) yield [item];
}

/** A directory's entries with the next one in sight. */
class Listing {
  readonly reader: SquashfsReader;
  readonly layer: number;
  readonly #runs: AsyncGenerator<readonly DirectoryEntry[], void, undefined>;
  #run: readonly DirectoryEntry[] = [];
  #next = 0;
  #ended = false;

  constructor(reader: SquashfsReader, layer: number, inode: DirectoryInode, signal: AbortSignal | undefined) {
    this.reader = reader;
    this.layer = layer;
    this.#runs = reader.listRuns(inode, signal);
  }

  get head(): DirectoryEntry | undefined {
    return this.#run[this.#next];
  }

  /** Whether `advance` must be called before `head` says anything. */
  get exhausted(): boolean {
    return !this.#ended && this.#next >= this.#run.length;
  }

  async advance(): Promise<void> {
    const following = await this.#runs.next();
    if (following.done) this.#ended = true;
    else [this.#run, this.#next] = [following.value, 0];
  }

  take(): DirectoryEntry {
    return this.#run[this.#next++]!;
  }
}
