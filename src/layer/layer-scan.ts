import { StkError } from '../core/errors.ts';
import { LayerDirectory, pathOf, type LayerLeaf, type Place } from './layer-node.ts';
import { NO_MARK, layerPath, markOf, pseudoLinkName } from './layer-path.ts';
import type { LayerTree } from './layer-tree.ts';
import { LostAcls } from './lost-acls.ts';
import type { DirectoryAttributes, LowerContent, LowerLeaf } from './lower-tree.ts';
import { layerXattrs } from './overlay-xattrs.ts';
import type { TarEntry } from './tar-entry.ts';
import { shownPath, tarError } from './tar-error.ts';

/** squashfs 4.0 as its tools and the kernel read it: a symlink's target is less than 64 KiB. */
const MAX_TARGET_BYTES = 65_535;

/** What is to be done with an entry of an archive. */
export interface Verdict {
  /** The entry in its final form, to be written now; directories and whiteouts are written at the end. */
  readonly write?: TarEntry;
  /** Something written before is replaced, or was to be written before this, so that all that was written is void. */
  readonly clash: boolean;
}

export interface ScanOptions {
  /** Limit on the total of file content, holes included. */
  readonly maxContentBytes: number;
  /** Whether names that begin with `.wh.` are whiteouts rather than names. */
  readonly marks: boolean;
  /** Where hard links may lead that name nothing in the layer; nowhere if it is absent. */
  readonly below?: LowerContent;
}

/** A file of the finished layer. */
export interface Survivor {
  /** In order; more than one where there are hard links. */
  readonly paths: readonly string[];
  /** Where its content is, if not in the archive. */
  readonly lower: LowerLeaf | undefined;
}

const NOTHING: Verdict = { clash: false };
const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();

/** Follows an archive's entries in order and keeps the tree that they leave behind. */
export class LayerScan {
  readonly tree: LayerTree;
  readonly #maxContentBytes: number;
  readonly #marks: boolean;
  readonly #below: LowerContent | undefined;
  /** Files of AUFS's directory of pseudo-links, which is no part of the image. */
  readonly #pseudoLinks = new LayerDirectory(undefined, '');
  /** What was copied up of files that have several names below. */
  readonly #copied = new Map<string, LayerLeaf>();
  #anyLostAcl = false;
  #contentBytes = 0;
  #entries = 0;

  constructor(tree: LayerTree, options: ScanOptions) {
    this.tree = tree;
    this.#maxContentBytes = options.maxContentBytes;
    this.#marks = options.marks;
    this.#below = options.below;
  }

  async add(entry: TarEntry): Promise<Verdict> {
    const number = this.#entries++;
    if (entry.lostAcl) this.#anyLostAcl = true;
    const path = layerPath(entry.path);
    if (path === '') return this.#root(entry);
    const mark = this.#marks ? markOf(path) : NO_MARK;
    if (mark.kind === 'ignored') return this.#pseudoLink(entry, number, path);
    if (mark.kind === 'opaque') {
      this.tree.markOpaque(await this.tree.directory(mark.directory));
      return NOTHING;
    }
    if (mark.kind === 'whiteout') {
      this.tree.whiteOut(await this.tree.place(mark.path));
      return NOTHING;
    }
    if (entry.type === 'hardlink') return this.#hardLink(entry, number, path);
    const place = await this.tree.place(path);
    if (entry.type === 'directory') return { clash: this.tree.putDirectory(place, attributesOf(entry)) };
    const clash = this.tree.putLeaf(place, this.#leaf(entry, number, place));
    return { write: normalized(entry, pathOf(place)), clash };
  }

  /** What is left, by the number of the entry that holds it, or at which it was copied up. */
  survivors(): ReadonlyMap<number, Survivor> {
    const found = new Map<number, Survivor & { readonly paths: string[] }>();
    for (const directory of this.tree.directories()) {
      const { path } = directory;
      for (const [name, child] of directory.children) {
        if (child.kind === 'directory') continue;
        const full = path === '' ? name : `${path}/${name}`;
        const known = found.get(child.entry);
        if (known) known.paths.push(full);
        else found.set(child.entry, { paths: [full], lower: child.lower });
      }
    }
    for (const { paths } of found.values()) paths.sort();
    return found;
  }

  /** What the layer has without the ACL that it had in the archive. */
  lostAcls(): LostAcls {
    const lost = new LostAcls();
    if (!this.#anyLostAcl) return lost;
    for (const directory of this.tree.directories()) {
      const { path, attributes } = directory;
      if (attributes?.lostAcl) lost.add(shownPath(`/${path}`));
      for (const [name, child] of directory.children) {
        if (child.kind === 'leaf' && child.lostAcl) lost.add(shownPath(path === '' ? `/${name}` : `/${path}/${name}`));
      }
    }
    return lost;
  }

  #root(entry: TarEntry): Verdict {
    if (entry.type !== 'directory') throw tarError('its root is not a directory');
    this.tree.root.attributes = attributesOf(entry);
    this.tree.root.origin = 'entry';
    return NOTHING;
  }

  #leaf(entry: TarEntry, number: number, place: Place): LayerLeaf {
    this.#countContent(entry.sizeBytes, entry.path);
    if (entry.type === 'symlink' && (entry.linkPath === '' || entry.linkPath.length > MAX_TARGET_BYTES)) {
      throw tarError(`symlink ${shownPath(entry.path)} has an impossible target`);
    }
    const target = entry.type === 'symlink' ? { target: entry.linkPath } : {};
    return { kind: 'leaf', entry: number, place, ...target, ...(entry.lostAcl ? { lostAcl: true } : {}) };
  }

  /**
   * A hard link names an earlier file of the same layer (image-spec, layer.md, "Hardlinks"). Builders that compare
   * directories leave some to files of lower layers, and unpackers that write into one tree link these as they are.
   */
  async #hardLink(entry: TarEntry, number: number, path: string): Promise<Verdict> {
    const [link, aim] = [shownPath(path), shownPath(entry.linkPath)];
    const refuse = (what: string): never => {
      throw tarError(`hard link ${link} points to ${aim}, which is ${what}`, { path: link, target: aim });
    };
    const aimPath = layerPath(entry.linkPath);
    const hidden = this.#hiddenLeaf(aimPath);
    const found = hidden ?? (await this.#linked(aimPath, number));
    if (found instanceof LayerDirectory) return refuse('a directory');
    if (found === undefined) {
      return refuse('neither in the layer before it nor in one below, or was deleted by the layer');
    }
    const place = await this.tree.place(path);
    const existing = place.directory.children.get(place.name);
    if (found === existing) {
      const aimed = hidden ? undefined : await this.tree.find(aimPath);
      if (aimed?.directory === place.directory && aimed.name === place.name) return refuse('itself');
      this.tree.putLeaf(place, found);
      return NOTHING;
    }
    const replaces = this.tree.putLeaf(place, found);
    const clash = replaces || hidden !== undefined || found.lower !== undefined;
    return { write: { ...entry, path: pathOf(place), linkPath: pathOf(found.place), xattrs: NO_XATTRS }, clash };
  }

  /** What a hard link's target is: in the layer, or copied up into it. */
  async #linked(path: string, number: number): Promise<LayerDirectory | LayerLeaf | undefined> {
    if (path === '') return this.tree.root;
    const known = await this.tree.find(path);
    const node = known?.directory.children.get(known.name);
    if (node || !this.#below) return node;
    const place = await this.tree.adopt(path);
    const lowerPath = place && this.tree.lowerPath(place);
    if (lowerPath === undefined) return undefined;
    const lower = await this.#below.leaf(lowerPath);
    if (lower) return this.#copyUp(place!, number, lower);
    return (await this.#below.isDirectory(lowerPath)) ? this.tree.directory(lowerPath) : undefined;
  }

  #copyUp(place: Place, number: number, lower: LowerLeaf): LayerLeaf {
    const { identity, target, sizeBytes } = lower;
    const known = identity === undefined ? undefined : this.#copied.get(identity);
    const leaf: LayerLeaf = known ?? {
      ...{ kind: 'leaf', entry: number, place, lower },
      ...(target === undefined ? {} : { target }),
    };
    if (!known) this.#countContent(sizeBytes, pathOf(place));
    if (identity !== undefined) this.#copied.set(identity, leaf);
    this.tree.copyUp(place, leaf);
    return leaf;
  }

  /** Remembers a file of the directory of pseudo-links, for the hard links to it. */
  async #pseudoLink(entry: TarEntry, number: number, path: string): Promise<Verdict> {
    const name = pseudoLinkName(path);
    if (name === undefined || entry.type === 'directory') return NOTHING;
    const place = { directory: this.#pseudoLinks, name };
    const leaf = entry.type === 'hardlink' ? await this.#linkedBefore(entry) : this.#leaf(entry, number, place);
    if (leaf) this.tree.putLeaf(place, leaf);
    return NOTHING;
  }

  async #linkedBefore({ linkPath }: TarEntry): Promise<LayerLeaf | undefined> {
    const path = layerPath(linkPath);
    const place = path === '' ? undefined : await this.tree.find(path);
    const node = this.#hiddenLeaf(path) ?? place?.directory.children.get(place.name);
    return node instanceof LayerDirectory ? undefined : node;
  }

  #hiddenLeaf(path: string): LayerLeaf | undefined {
    const name = this.#marks ? pseudoLinkName(path) : undefined;
    const node = name === undefined ? undefined : this.#pseudoLinks.children.get(name);
    return node instanceof LayerDirectory ? undefined : node;
  }

  #countContent(sizeBytes: number, path: string): void {
    this.#contentBytes += sizeBytes;
    if (this.#contentBytes <= this.#maxContentBytes) return;
    throw new StkError('invalid-input', `a layer holds more than ${this.#maxContentBytes} bytes`, {
      hint: 'holes of sparse files count; raise the limit if the layer is meant to be so large',
      facts: { path: shownPath(path), sizeBytes },
    });
  }
}

/** An entry as it goes into the layer, under its final path. */
export function normalized(entry: TarEntry, path: string): TarEntry {
  return { ...entry, path, xattrs: layerXattrs(entry.xattrs) };
}

function attributesOf({ mode, uid, gid, mtimeSeconds, xattrs, lostAcl }: TarEntry): DirectoryAttributes {
  return { mode, uid, gid, mtimeSeconds, xattrs, ...(lostAcl ? { lostAcl } : {}) };
}
