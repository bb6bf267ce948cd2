import { StkError, throwIfAborted } from '../core/errors.ts';
import type { DirectoryInode } from './inode.ts';
import { malformed } from './malformed.ts';
import { METADATA_BYTES, type Superblock } from './superblock.ts';

/** Deeper trees are refused: no tool can use them, and each level makes every path below longer. */
const MAX_DEPTH = 16384;

export interface WalkOptions<N> {
  /** Where to begin, in the form of `imagePath`; default the root. Symlinks are not followed. */
  readonly path?: string;
  /** Whether to go into a directory that was just given; default yes. */
  readonly descend?: (entry: WalkEntry<N>) => boolean;
  readonly signal?: AbortSignal;
}

export interface WalkEntry<N> {
  /** In the form of `imagePath`, so the root is the empty string. A byte string (latin1). */
  readonly path: string;
  /** Levels below where the walk began. */
  readonly depth: number;
  readonly node: N;
}

/** What walking needs of a tree. `E` is a listed name that has not been opened yet. */
export interface WalkTree<N, E extends { readonly name: string }> {
  /** Runs of names in order; `undefined` where the node is no directory. Called once per node, before its children. */
  list(node: N): AsyncGenerator<readonly E[], void, undefined> | undefined;
  open(entry: E): N | Promise<N>;
}

interface Level<E> {
  readonly prefix: string;
  readonly runs: AsyncGenerator<readonly E[], void, undefined>;
  run: readonly E[];
  next: number;
}

/** A tree in directory order, each directory before what it holds. Memory is one run of names per level. */
export async function* walkTree<N, E extends { readonly name: string }>(
  tree: WalkTree<N, E>,
  start: { readonly path: string; readonly node: N },
  options: WalkOptions<N>,
): AsyncGenerator<WalkEntry<N>, void, undefined> {
  const { signal, descend } = options;
  const levels: Level<E>[] = [];
  const enter = (entry: WalkEntry<N>) => {
    if (descend && !descend(entry)) return;
    const runs = tree.list(entry.node);
    if (runs === undefined) return;
    if (levels.length >= MAX_DEPTH) throw new StkError('unsupported', `directories are more than ${MAX_DEPTH} deep`);
    levels.push({ prefix: entry.path === '' ? '' : `${entry.path}/`, runs, run: [], next: 0 });
  };
  const first = { ...start, depth: 0 };
  yield first;
  enter(first);
  for (let level = levels.at(-1); level; level = levels.at(-1)) {
    const listed = level.run[level.next++];
    if (listed === undefined) {
      throwIfAborted(signal);
      const following = await level.runs.next();
      if (following.done) levels.pop();
      else [level.run, level.next] = [following.value, 0];
      continue;
    }
    const opened = tree.open(listed);
    const node = opened instanceof Promise ? await opened : opened;
    const entry = { path: level.prefix + listed.name, depth: levels.length, node };
    yield entry;
    enter(entry);
  }
}

/**
 * Stops a walk of an image whose directories form no tree. Each directory may be entered once, and together the listings
 * cannot be longer than the directory table.
 */
export class WalkGuard {
  readonly #name: string;
  readonly #entered = new Set<number>();
  #budget: number;

  constructor(name: string, superblock: Superblock) {
    this.#name = name;
    const tableBytes = superblock.bytesUsed - superblock.directoryTable;
    // A metadata block takes at least three bytes.
    this.#budget = Math.ceil(tableBytes / 3) * METADATA_BYTES;
  }

  /** Call before listing a directory. Throws `invalid-input`. */
  enter(directory: DirectoryInode): void {
    if (this.#entered.has(directory.ref)) throw malformed(this.#name, 'a directory lies in two places or in itself');
    this.#entered.add(directory.ref);
    this.#budget -= directory.listing.sizeBytes;
    if (this.#budget < 0) throw malformed(this.#name, 'its directories are longer than its directory table');
  }
}
