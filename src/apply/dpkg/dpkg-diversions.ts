import { oncePerMerge } from '../once-per-merge.ts';

export const DIVERSIONS = 'var/lib/dpkg/diversions';
const MAX_BYTES = 16 * 1024 * 1024;

/** A file that lies elsewhere than its package says. Paths as dpkg has them. */
export interface Diversion {
  readonly from: string;
  readonly to: string;
  /** The package that asked for it, whose own file stays; `:` for the administrator. */
  readonly by: string;
}

/** The diversions of a side; -1: the ancestor. What is no whole entry at the end of the file is left out. */
export const diversionsOf = oncePerMerge(async (side: number, context): Promise<readonly Diversion[]> => {
  const tree = side < 0 ? context.ancestor : context.sides[side]!.tree;
  const node = await tree?.lookup(DIVERSIONS, context.signal);
  if (tree === undefined || node?.inode.type !== 'file') return [];
  const bytes = await tree.readFile(node, { maxBytes: MAX_BYTES, ...(context.signal && { signal: context.signal }) });
  const lines = bytes.toString('latin1').split('\n');
  const found: Diversion[] = [];
  for (let at = 0; at + 2 < lines.length; at += 3) {
    found.push({ from: lines[at]!, to: lines[at + 1]!, by: lines[at + 2]! });
  }
  return found;
});
