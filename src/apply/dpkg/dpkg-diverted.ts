import { imagePath } from '../../core/paths.ts';
import type { LayerStack } from '../../squashfs/layer-stack.ts';
import { changedSides } from '../changed-sides.ts';
import type { MergeContext, Survey } from '../driver.ts';
import { conflictReason, shown } from '../file-versions.ts';
import {
  DIVERSIONS,
  LOCAL,
  diversionsOf,
  mergedDiversions,
  type Diversion,
  type Diversions,
} from './dpkg-diversions.ts';
import { packagesListing } from './dpkg-listed.ts';

type Elsewhere = NonNullable<Survey['elsewhere']>;

/** A tree with what it diverts; position -1 is the ancestor. */
interface Tree {
  readonly position: number;
  readonly name: string;
  readonly tree: LayerStack | undefined;
  readonly diversions: Diversions;
}

/**
 * Files that lie elsewhere in some trees than the merged diversions say. Had all packages been installed in turn, dpkg would
 * have moved a file when the diversion came (`dpkg-divert --rename`), or unpacked it under its other name from the start, so
 * in either order the file of the package that diverts lies at the path itself, and everybody else's where the diversion
 * points to; a diversion that a side took out works the other way round.
 */
export async function divertedFiles(
  context: MergeContext,
): Promise<Pick<Survey, 'conflicts'> & { elsewhere: Elsewhere }> {
  const elsewhere = new Map<string, Map<number, string | undefined>>();
  const conflicts: Survey['conflicts'][number][] = [];
  const nothing = { elsewhere, conflicts };
  if (context.sides.length < 2) return nothing;
  if (changedSides(context, await context.versionsOf(DIVERSIONS)).length === 0) return nothing;
  const trees: Tree[] = [];
  for (const [position, { name, tree }] of [
    [-1, { name: 'the base', tree: context.ancestor }] as const,
    ...context.sides.entries(),
  ]) {
    trees.push({ position, name, tree, diversions: await diversionsOf(position, context) });
  }
  const merged = await mergedDiversions(context);
  const all = new Map(trees.flatMap(({ diversions }) => [...diversions]));
  const unsettled = [...all.keys()].filter(from =>
    trees.some(({ diversions }) => diversions.get(from)?.to !== merged.get(from)?.to),
  );
  if (unsettled.length === 0) return nothing;
  const put = (path: string, position: number, place: string | undefined) => {
    const known = elsewhere.get(path) ?? new Map<number, string | undefined>();
    elsewhere.set(path, known.set(position, place));
  };
  for (const { position, name, tree, diversions } of trees) {
    const listing = await packagesListing(
      tree,
      new Set(unsettled.filter(from => !diversions.has(from))),
      context.signal,
    );
    for (const from of unsettled) {
      const [own, wanted] = [diversions.get(from), merged.get(from)];
      if (own?.to === wanted?.to) continue;
      const at = await placeOf(trees, from, context.signal);
      if (own !== undefined) {
        const old = await placeOf(trees, own.to, context.signal);
        const target = wanted === undefined ? at : await placeOf(trees, wanted.to, context.signal);
        put(target, position, old);
        if (old !== target) put(old, position, undefined);
        continue;
      }
      const first = trees.find(other => other.diversions.get(from)?.to === wanted!.to)!.position;
      if (!isMoved({ by: wanted!.by, listed: listing.get(from), isEarlier: position < first })) continue;
      const target = await placeOf(trees, wanted!.to, context.signal);
      const [here, there] = [await tree?.lookup(at, context.signal), await tree?.lookup(target, context.signal)];
      if (here?.inode.type === 'directory') continue;
      if (here !== undefined && there !== undefined) {
        const whose = trees.find(other => other.diversions.get(from)?.to === wanted!.to)!.name;
        const message = `${whose} diverts ${shown(from)} to ${shown(wanted!.to)}, and ${name} has files of its own in both places`;
        const sides = [...new Set([first, position])].filter(side => side >= 0);
        conflicts.push({ path: at, sides, reason: conflictReason(message, { remedies: [] }) });
      }
      put(at, position, undefined);
      put(target, position, at);
    }
  }
  return nothing;
}

/**
 * Whether a file gives way to a diversion: any other package's does. What belongs to no package does if it was there before
 * the diversion came; put there afterwards, it stays.
 */
function isMoved({
  by,
  listed,
  isEarlier,
}: {
  readonly by: Diversion['by'];
  readonly listed: ReadonlySet<string> | undefined;
  readonly isEarlier: boolean;
}): boolean {
  if (listed === undefined) return isEarlier;
  return by === LOCAL || [...listed].some(name => name !== by);
}

/** The path with symlinks on the way to it followed, itself not, in the first tree that has the directory. */
async function placeOf(trees: readonly Tree[], path: string, signal: AbortSignal | undefined): Promise<string> {
  const clean = imagePath(path);
  const slash = clean.lastIndexOf('/');
  for (const { tree } of trees.toReversed()) {
    const parent = await tree?.resolve(clean.slice(0, Math.max(slash, 0)), signal);
    if (parent === undefined) continue;
    const name = clean.slice(slash + 1);
    return parent.path === '' ? name : `${parent.path}/${name}`;
  }
  return clean;
}
