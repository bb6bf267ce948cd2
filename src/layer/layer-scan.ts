import { StkError } from '../core/errors.ts';
import { NO_MARK, layerPath, markOf } from './layer-path.ts';
import { LayerDirectory, pathOf, type LayerLeaf, type LayerTree } from './layer-tree.ts';
import { layerXattrs } from './overlay-xattrs.ts';
import type { TarEntry } from './tar-entry.ts';
import { shownPath, tarError } from './tar-error.ts';

/** squashfs 4.0 as its tools and the kernel read it: a symlink's target is less than 64 KiB. */
const MAX_TARGET_BYTES = 65_535;

/** What is to be done with an entry of an archive. */
export interface Verdict {
  /** The entry in its final form, to be written now; directories and whiteouts are written at the end. */
  readonly write?: TarEntry;
  /** Something written before is replaced, so that all that was written is void. */
  readonly clash: boolean;
}

export interface ScanOptions {
  /** Limit on the total of file content, holes included. */
  readonly maxContentBytes: number;
  /** Whether names that begin with `.wh.` are whiteouts rather than names. */
  readonly marks: boolean;
}

const NOTHING: Verdict = { clash: false };
const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();

/** Follows an archive's entries in order and keeps the tree that they leave behind. */
export class LayerScan {
  readonly tree: LayerTree;
  readonly #maxContentBytes: number;
  readonly #marks: boolean;
  #contentBytes = 0;
  #entries = 0;

  constructor(tree: LayerTree, options: ScanOptions) {
    this.tree = tree;
    this.#maxContentBytes = options.maxContentBytes;
    this.#marks = options.marks;
  }

  async add(entry: TarEntry): Promise<Verdict> {
    const number = this.#entries++;
    const path = layerPath(entry.path);
    if (path === '') return this.#root(entry);
    const mark = this.#marks ? markOf(path) : NO_MARK;
    if (mark.kind === 'ignored') return NOTHING;
    if (mark.kind === 'opaque') {
      (await this.tree.directory(mark.directory)).opaque = true;
      return NOTHING;
    }
    if (mark.kind === 'whiteout') {
      this.tree.whiteOut(await this.tree.place(mark.path));
      return NOTHING;
    }
    if (entry.type === 'hardlink') return this.#hardLink(entry, path);
    const place = await this.tree.place(path);
    if (entry.type === 'directory') return { clash: this.tree.putDirectory(place, attributesOf(entry)) };
    this.#countContent(entry);
    if (entry.type === 'symlink' && (entry.linkPath === '' || entry.linkPath.length > MAX_TARGET_BYTES)) {
      throw tarError(`symlink ${shownPath(path)} has an impossible target`);
    }
    const leaf: LayerLeaf = {
      kind: 'leaf',
      entry: number,
      place,
      ...(entry.type === 'symlink' ? { target: entry.linkPath } : {}),
    };
    const clash = this.tree.putLeaf(place, leaf);
    return { write: normalized(entry, pathOf(place)), clash };
  }

  /** Paths of what is left, by the number of the entry that holds it: more than one where there are hard links. */
  survivors(): ReadonlyMap<number, readonly string[]> {
    const found = new Map<number, string[]>();
    for (const directory of this.tree.directories()) {
      const { path } = directory;
      for (const [name, child] of directory.children) {
        if (child.kind === 'directory') continue;
        const full = path === '' ? name : `${path}/${name}`;
        const paths = found.get(child.entry);
        if (paths) paths.push(full);
        else found.set(child.entry, [full]);
      }
    }
    for (const paths of found.values()) paths.sort();
    return found;
  }

  #root(entry: TarEntry): Verdict {
    if (entry.type !== 'directory') throw tarError('its root is not a directory');
    this.tree.root.attributes = attributesOf(entry);
    this.tree.root.origin = 'entry';
    return NOTHING;
  }

  /** A hard link names an earlier file of the same layer (image-spec, layer.md, "Hardlinks"). */
  async #hardLink(entry: TarEntry, path: string): Promise<Verdict> {
    const target = await this.tree.find(layerPath(entry.linkPath));
    const place = await this.tree.place(path);
    if (
      target === undefined ||
      target instanceof LayerDirectory ||
      target === place.directory.children.get(place.name)
    ) {
      const what =
        target === undefined ? 'not in the layer before it' : target.kind === 'leaf' ? 'itself' : 'a directory';
      const [link, aim] = [shownPath(path), shownPath(entry.linkPath)];
      throw tarError(`hard link ${link} points to ${aim}, which is ${what}`, { path: link, target: aim });
    }
    const clash = this.tree.putLeaf(place, target);
    return { write: { ...entry, path: pathOf(place), linkPath: pathOf(target.place), xattrs: NO_XATTRS }, clash };
  }

  #countContent(entry: TarEntry): void {
    this.#contentBytes += entry.sizeBytes;
    if (this.#contentBytes <= this.#maxContentBytes) return;
    throw new StkError('invalid-input', `a layer holds more than ${this.#maxContentBytes} bytes`, {
      hint: 'holes of sparse files count; raise the limit if the layer is meant to be so large',
      facts: { path: shownPath(entry.path), sizeBytes: entry.sizeBytes },
    });
  }
}

/** An entry as it goes into the layer, under its final path. */
export function normalized(entry: TarEntry, path: string): TarEntry {
  return { ...entry, path, xattrs: layerXattrs(entry.xattrs) };
}

function attributesOf({ mode, uid, gid, mtimeSeconds, xattrs }: TarEntry) {
  return { mode, uid, gid, mtimeSeconds, xattrs };
}
