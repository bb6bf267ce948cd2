import type { MergedEntry } from '../squashfs/layer-stack.ts';
import { NOTHING, childOf, type TreeNode } from './tree-versions.ts';

/** Bytes that an entry takes in a listing, roughly. */
const ENTRY_BYTES = 20;
/** Reading a listing with what its entries are costs as much as looking up every so manieth of its names. */
const WORTH_LISTING = 16;

/**
 * Looks up children of one directory, names ascending. A lookup reads the listing up to the name, so where many are
 * expected the directory is read once, alongside.
 */
export class ChildCursor implements AsyncDisposable {
  readonly #parent: TreeNode;
  readonly #listing: AsyncGenerator<MergedEntry, void, undefined> | undefined;
  readonly #signal: AbortSignal | undefined;
  #entry: MergedEntry | undefined;
  #ended = false;

  /** @param expected how many names are going to be asked for */
  constructor(parent: TreeNode, expected: number, signal: AbortSignal | undefined) {
    this.#parent = parent;
    this.#signal = signal;
    const { tree, node } = parent;
    const listed = (node?.directories ?? []).reduce((sum, { inode }) => sum + inode.listing.sizeBytes, 0) / ENTRY_BYTES;
    const isWorth = expected >= WORTH_LISTING && expected * WORTH_LISTING >= listed;
    if (tree && node && isWorth) this.#listing = tree.readDirectory(node, signal);
  }

  async child(name: string): Promise<TreeNode> {
    if (this.#listing === undefined) return childOf(this.#parent, name, this.#signal);
    while (!this.#ended && (this.#entry === undefined || this.#entry.name < name)) {
      const { value } = await this.#listing.next();
      this.#entry = value ?? undefined;
      this.#ended = value === undefined;
    }
    if (this.#entry?.name !== name) return NOTHING;
    return { tree: this.#parent.tree, node: this.#entry.node };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listing?.return();
  }
}
