import type { MergeContext } from '../driver.ts';
import { oncePerMerge } from '../once-per-merge.ts';
import { mergeKeyed } from '../text/three-way.ts';

export const DIVERSIONS = 'var/lib/dpkg/diversions';
const MAX_BYTES = 16 * 1024 * 1024;

/** Whose diversions count for every package: the administrator's. */
export const LOCAL = ':';

/** A file that lies elsewhere than its package says. Paths as dpkg has them. */
export interface Diversion {
  readonly from: string;
  readonly to: string;
  /** The package that asked for it, whose own file stays; `LOCAL` for the administrator. */
  readonly by: string;
}

/** By the path that is diverted. */
export type Diversions = ReadonlyMap<string, Diversion>;

/** The diversions of a side; -1: the ancestor. What is no whole entry at the end of the file is left out. */
export const diversionsOf = oncePerMerge(async (side: number, context): Promise<Diversions> => {
  const tree = side < 0 ? context.ancestor : context.sides[side]!.tree;
  const node = await tree?.lookup(DIVERSIONS, context.signal);
  const found = new Map<string, Diversion>();
  if (tree === undefined || node?.inode.type !== 'file') return found;
  const bytes = await tree.readFile(node, { maxBytes: MAX_BYTES, ...(context.signal && { signal: context.signal }) });
  const lines = bytes.toString('latin1').split('\n');
  for (let at = 0; at + 2 < lines.length; at += 3) {
    const [from, to, by] = [lines[at]!, lines[at + 1]!, lines[at + 2]!];
    if (from.startsWith('/') && to.startsWith('/')) found.set(from, { from, to, by });
  }
  return found;
});

/** The diversions of the merged tree; of those that clash, which the merge of their file reports, the last side's. */
export async function mergedDiversions(context: MergeContext): Promise<Diversions> {
  return mergedOnce(DIVERSIONS, context);
}

const mergedOnce = oncePerMerge(async (path: typeof DIVERSIONS, context): Promise<Diversions> => {
  const before = await diversionsOf(-1, context);
  const sides = await Promise.all(context.sides.map((_, side) => diversionsOf(side, context)));
  const rule = context.ruleFor(path);
  const changed = sides.filter(side => !isSame(side, before));
  const whole = rule === 'first' ? changed[0] : rule === 'last' ? changed.at(-1) : undefined;
  return (
    whole ??
    mergeKeyed<Diversion>({
      ancestor: before,
      sides,
      equal: isSameDiversion,
      settle: (_from, _before, changes) => changes.at(-1)!.value,
    })
  );
});

function isSame(a: Diversions, b: Diversions): boolean {
  if (a === b) return true;
  return a.size === b.size && [...a].every(([from, one]) => b.has(from) && isSameDiversion(one, b.get(from)!));
}

function isSameDiversion(a: Diversion, b: Diversion): boolean {
  return a.to === b.to && a.by === b.by;
}
