import { StkError } from '../core/errors.ts';
import { dropDeletedCopies } from './deleted-copies.ts';
import { LayerDirectory, pathOf, type LayerLeaf, type Place } from './layer-node.ts';
import type { DirectoryAttributes, LowerLookup } from './lower-tree.ts';
import { shownPath, tarError } from './tar-error.ts';

/** What the kernel looks up (NAME_MAX); squashfs could hold one byte more. */
const MAX_NAME_BYTES = 255;
/** Of a path in the layer; the kernel takes 4 KiB at once, deeper trees are walked step by step. */
const MAX_PATH_BYTES = 32 * 1024;
const MAX_NODES = 4_000_000;
/** Files that hard links have copied up. */
const MAX_COPIES = 250_000;
/** Names, symlink targets and directories' xattrs of a layer, which are held in memory. */
const MAX_TREE_BYTES = 256 * 1024 * 1024;
/** As many as the kernel follows (path_resolution(7)). */
const MAX_SYMLINKS = 40;

/** What a walk does where the layer has no directory: makes one, takes over one of the lower layers, or gives up. */
type Missing = 'make' | 'adopt' | 'look';

/**
 * What a layer holds, built up as an unpacker would build it on disk: parents are found through symlinks, those of the
 * layer and those of the layers below, never leaving the root; later entries replace earlier ones. Paths are byte strings.
 */
export class LayerTree {
  readonly root = new LayerDirectory(undefined, '');
  /** Whether a symlink, or the attributes, of a lower layer went into this one. */
  usedLower = false;
  readonly #lower: LowerLookup;
  readonly #copies: Place[] = [];
  #nodes = 0;
  #bytes = 0;

  constructor(lower: LowerLookup) {
    this.#lower = lower;
  }

  /** Finds the parent of a path, making directories that are missing. The path is canonical and not the root's. */
  async place(path: string): Promise<Place> {
    const { parent, name } = split(path);
    return { directory: (await this.#walk(parent, path, 'make'))!, name: checkName(name, path) };
  }

  /** The directory at a path, made where it is missing. */
  async directory(path: string): Promise<LayerDirectory> {
    return (await this.#walk(path, path, 'make'))!;
  }

  /** The directory that a path leads to in this layer or below it, symlinks followed; none is made anew. */
  async existingDirectory(path: string): Promise<LayerDirectory | undefined> {
    return this.#walk(path, path, 'adopt');
  }

  /** The place of a path whose parents may be symlinks, if the layer has its directory; makes nothing. */
  async find(path: string): Promise<Place | undefined> {
    const { parent, name } = split(path);
    const directory = await this.#walk(parent, path, 'look');
    return directory && { directory, name };
  }

  /** The same where lower layers may have the directory, which the layer then has too. */
  async adopt(path: string): Promise<Place | undefined> {
    const { parent, name } = split(path);
    const directory = await this.#walk(parent, path, 'adopt');
    return directory && { directory, name };
  }

  /** Puts a directory in place or gives attributes to the one that is there; returns whether something else had to go. */
  putDirectory({ directory, name }: Place, attributes: DirectoryAttributes): boolean {
    const existing = directory.children.get(name);
    const node = existing?.kind === 'directory' ? existing : this.#add(directory, name);
    for (const [key, value] of attributes.xattrs) this.#hold(key.length + value.length, directory);
    directory.copies?.delete(name);
    node.attributes = attributes;
    node.origin = 'entry';
    return existing?.kind === 'leaf';
  }

  /** Puts a leaf in place; returns whether something had to go. */
  putLeaf({ directory, name }: Place, leaf: LayerLeaf): boolean {
    const existing = directory.children.get(name);
    if (!existing) this.#count(directory, name);
    this.#hold(leaf.target?.length ?? 0, directory);
    directory.copies?.delete(name);
    directory.children.set(name, leaf);
    return existing !== undefined;
  }

  /** Puts what the lower layers have at a place there, for a hard link to it: as overlayfs does, where a link is made. */
  copyUp(place: Place, leaf: LayerLeaf): void {
    const { directory, name } = place;
    if (this.#copies.length >= MAX_COPIES) {
      throw tooLarge(`a layer with hard links to more than ${MAX_COPIES} files of lower layers`, directory);
    }
    this.putLeaf(place, leaf);
    (directory.copies ??= new Map()).set(name, this.#copies.length);
    this.#copies.push(place);
    this.usedLower = true;
  }

  whiteOut({ directory, name }: Place): void {
    this.#count(directory, name);
    (directory.whiteouts ??= new Map()).set(checkName(name, name), this.#copies.length);
  }

  markOpaque(directory: LayerDirectory): void {
    directory.opaque = true;
    directory.opaqueAfter = this.#copies.length;
  }

  /** Turns "deleted and made anew" into what overlayfs says for it: an opaque directory, or just the new file. */
  settleWhiteouts(): void {
    dropDeletedCopies(this.#copies);
    for (const directory of this.directories()) {
      for (const name of directory.whiteouts?.keys() ?? []) {
        const child = directory.children.get(name);
        if (child === undefined) continue;
        directory.whiteouts!.delete(name);
        if (child.kind === 'directory') child.opaque = true;
      }
    }
  }

  /** Every directory, parents before children. */
  *directories(): Generator<LayerDirectory> {
    const pending = [this.root];
    for (let at = pending.pop(); at; at = pending.pop()) {
      yield at;
      for (const child of at.children.values()) if (child.kind === 'directory') pending.push(child);
    }
  }

  /** Whether the layer would come out differently over other lower layers. */
  dependsOnLower(): boolean {
    if (this.usedLower) return true;
    const pending = [this.root];
    for (let at = pending.pop(); at; at = pending.pop()) {
      if (at.parent && at.origin !== 'entry') return true;
      // Whatever lies below an opaque directory is the layer's own alone.
      if (at.opaque) continue;
      for (const child of at.children.values()) if (child.kind === 'directory' && !child.opaque) pending.push(child);
    }
    return false;
  }

  async #walk(path: string, entryPath: string, missing: Missing): Promise<LayerDirectory | undefined> {
    const quick = this.#walkKnown(path);
    if (quick) return quick;
    if (entryPath.length > MAX_PATH_BYTES) throw tarError(`a path of more than ${MAX_PATH_BYTES} bytes`);
    let at = this.root;
    let links = 0;
    const pending = path.split('/').toReversed();
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '' || name === '.') continue;
      if (name === '..') {
        at = at.parent ?? at;
        continue;
      }
      const child = at.children.get(name);
      if (child?.kind === 'directory') {
        at = child;
        continue;
      }
      if (child && child.target === undefined) {
        if (missing !== 'make') return undefined;
        throw tarError(
          `${shownPath(entryPath)} lies below ${shownPath(pathOf(child.place))}, which is not a directory`,
        );
      }
      const below = child ? undefined : await this.#below(at, name);
      const target = child ? child.target : below?.type === 'symlink' ? below.target : undefined;
      if (target !== undefined) {
        if (below) this.usedLower = true;
        if (++links > MAX_SYMLINKS) throw tarError(`too many symlinks on the way to ${shownPath(entryPath)}`);
        if (target.startsWith('/')) at = this.root;
        pending.push(...target.split('/').toReversed());
        continue;
      }
      if (missing === 'look' || (missing === 'adopt' && below?.type !== 'directory')) return undefined;
      at = this.#add(at, checkName(name, entryPath));
      if (below?.type === 'directory') [at.attributes, at.origin] = [below.attributes, 'lower'];
      else at.lowerAbsent = true;
    }
    return at;
  }

  /** The directory at a path if every step to it is a known directory: the usual case, which need not wait. */
  #walkKnown(path: string): LayerDirectory | undefined {
    let at = this.root;
    if (path === '') return at;
    for (let start = 0; start <= path.length;) {
      const slash = path.indexOf('/', start);
      const end = slash < 0 ? path.length : slash;
      const child = at.children.get(path.slice(start, end));
      if (child?.kind !== 'directory') return undefined;
      at = child;
      start = end + 1;
    }
    return at;
  }

  /** Path of a place in the lower layers; `undefined` where the layer hides whatever they have there. */
  lowerPath(place: Place): string | undefined {
    const { directory, name } = place;
    const hidden = directory.lowerAbsent || directory.whiteouts?.has(name) || this.#isHidden(directory);
    return hidden ? undefined : pathOf(place);
  }

  async #below(directory: LayerDirectory, name: string): ReturnType<LowerLookup['lookup']> {
    const path = this.lowerPath({ directory, name });
    return path === undefined ? undefined : this.#lower.lookup(path);
  }

  /** Whether the layer itself hides whatever lower layers have at and below this directory. */
  #isHidden(directory: LayerDirectory): boolean {
    for (let at: LayerDirectory | undefined = directory; at; at = at.parent) {
      if (at.opaque || at.parent?.whiteouts?.has(at.name)) return true;
    }
    return false;
  }

  #add(parent: LayerDirectory, name: string): LayerDirectory {
    this.#count(parent, name);
    const node = new LayerDirectory(parent, name);
    if (node.pathBytes > MAX_PATH_BYTES) throw tarError(`a path of more than ${MAX_PATH_BYTES} bytes`);
    parent.children.set(name, node);
    return node;
  }

  #count(directory: LayerDirectory, name: string): void {
    if (++this.#nodes > MAX_NODES) throw tooLarge(`a layer of more than ${MAX_NODES} files`, directory);
    this.#hold(name.length, directory);
  }

  #hold(sizeBytes: number, directory: LayerDirectory): void {
    this.#bytes += sizeBytes;
    if (this.#bytes <= MAX_TREE_BYTES) return;
    throw tooLarge(`a layer with names and attributes of more than ${MAX_TREE_BYTES} bytes`, directory);
  }
}

function tooLarge(message: string, directory: LayerDirectory): StkError {
  return new StkError('unsupported', message, { facts: { directory: shownPath(directory.path) } });
}

function split(path: string): { parent: string; name: string } {
  const slash = path.lastIndexOf('/');
  return { parent: path.slice(0, Math.max(slash, 0)), name: path.slice(slash + 1) };
}

function checkName(name: string, path: string): string {
  if (name.length <= MAX_NAME_BYTES) return name;
  throw tarError(`${shownPath(path)} has a name of ${name.length} bytes; squashfs holds ${MAX_NAME_BYTES} at most`);
}
