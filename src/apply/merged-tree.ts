import { imagePath } from '../core/paths.ts';
import type { LayerStack, MergedNode } from '../squashfs/layer-stack.ts';
import type { MergedPlace, MergedView } from './driver.ts';
import type { MergeProblem } from './merge-problem.ts';
import type { MergeEntry, MergeResult } from './merge-result.ts';
import { ownXattrs } from './tree-versions.ts';

const MOST_LINKS = 40;

/** What the plain stack and a merge layer show together, without the layer: files that are made anew are as they were. */
export class MergedTree implements MergedView {
  readonly #problem: MergeProblem;
  readonly #entries: ReadonlyMap<string, MergeEntry>;
  readonly #madeAnew: ReadonlySet<string>;
  readonly #signal: AbortSignal | undefined;

  constructor(problem: MergeProblem, result: Pick<MergeResult, 'entries' | 'regenerate'>, signal?: AbortSignal) {
    this.#problem = problem;
    this.#entries = new Map(result.entries.map(entry => [entry.path, entry]));
    this.#madeAnew = new Set(result.regenerate.flatMap(({ paths }) => paths));
    this.#signal = signal;
  }

  /** Paths that the plain stack shows and the merged tree does not have. */
  get deleted(): readonly string[] {
    return [...this.#entries.values()].filter(({ type }) => type === 'delete').map(({ path }) => path);
  }

  isMadeAnew(path: string): boolean {
    return this.#madeAnew.has(path);
  }

  /** The node at a path, symlinks on the way to it followed, and itself if `follow` says so; `undefined` for none. */
  async find(path: string, follow: boolean): Promise<MergedPlace | undefined> {
    const pending = imagePath(path).split('/').toReversed();
    const at: string[] = [];
    let found: MergedPlace | undefined;
    for (let links = 0; pending.length > 0;) {
      const name = pending.pop()!;
      if (name === '' || name === '.') continue;
      if (name === '..') {
        at.pop();
        continue;
      }
      found = await this.#nodeAt([...at, name].join('/'));
      if (found === undefined) return undefined;
      const { inode } = found.node;
      const isLast = pending.length === 0;
      if (inode.type === 'symlink' && (!isLast || follow)) {
        if (++links > MOST_LINKS) return undefined;
        if (inode.target.startsWith('/')) at.length = 0;
        pending.push(...inode.target.split('/').toReversed());
        continue;
      }
      if (!isLast && inode.type !== 'directory') return undefined;
      at.push(name);
    }
    return found;
  }

  /** Without following links. */
  async #nodeAt(path: string): Promise<MergedPlace | undefined> {
    for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
      const above = this.#entries.get(path.slice(0, slash));
      if (above?.type === 'delete') return undefined;
    }
    const entry = this.#entries.get(path);
    if (entry?.type === 'delete') return undefined;
    if (entry === undefined) {
      const node = await this.#problem.plain?.lookup(path, this.#signal);
      return node && this.#place(path, node, this.#problem.plain);
    }
    const { side, node } = entry.type === 'node' ? entry : entry.like;
    const tree = side < 0 ? this.#problem.ancestor : this.#problem.sides[side]?.tree;
    const place = this.#place(path, node, tree);
    if (entry.type !== 'merged') return place;
    const { bytes, attributes } = entry;
    const made = { ...place, attributes: async () => attributes };
    return bytes === undefined ? made : { ...made, read: async () => Buffer.from(bytes) };
  }

  #place(path: string, node: MergedNode, tree: LayerStack | undefined): MergedPlace {
    const signal = this.#signal;
    const { mode, uid, gid } = node.inode;
    return {
      path,
      node,
      read: maxBytes => tree!.readFile(node, { maxBytes, ...(signal && { signal }) }),
      attributes: async () => ({ mode, uid, gid, xattrs: await ownXattrs({ tree, node }, signal) }),
    };
  }
}
