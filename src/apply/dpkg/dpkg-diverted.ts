import { imagePath } from '../../core/paths.ts';
import type { LayerStack } from '../../squashfs/layer-stack.ts';
import type { MergeContext, Survey } from '../driver.ts';
import { changedSides } from '../changed-sides.ts';
import { DIVERSIONS, diversionsOf } from './dpkg-diversions.ts';
import { conflictReason, shown } from '../file-versions.ts';

/**
 * Files that one side put where another side diverts: had both been installed one after the other, the file would lie
 * where the diversion points to.
 */
export async function diversionConflicts(context: MergeContext): Promise<Survey['conflicts']> {
  const changed = changedSides(context, await context.versionsOf(DIVERSIONS));
  if (changed.length === 0 || context.sides.length < 2) return [];
  const diverted = async (side: number) => new Set((await diversionsOf(side, context)).map(({ from }) => from));
  const before = await diverted(-1);
  const known = await Promise.all(context.sides.map((_, side) => diverted(side)));
  const conflicts: Survey['conflicts'][number][] = [];
  for (const { side, name } of changed) {
    const { tree } = context.sides[side]!;
    for (const { from, to } of await diversionsOf(side, context)) {
      if (before.has(from)) continue;
      const path = await placeOf(tree, from, context.signal);
      if (path === undefined || (await context.ancestor?.lookup(path, context.signal))) continue;
      for (const [other, { name: otherName, tree: otherTree }] of context.sides.entries()) {
        if (other === side || !(await otherTree?.lookup(path, context.signal))) continue;
        if (known[other]!.has(from)) continue;
        if (await tree?.lookup(imagePath(to), context.signal)) continue;
        const message = `${name} diverts ${shown(from)} to ${shown(to)}, and ${otherName} has a file there`;
        conflicts.push({ path, sides: [side, other], reason: conflictReason(message, { remedies: [] }) });
      }
    }
  }
  return conflicts;
}

/** The path with symlinks on the way to it followed, itself not. */
async function placeOf(
  tree: LayerStack | undefined,
  path: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const clean = imagePath(path);
  const slash = clean.lastIndexOf('/');
  const parent = await tree?.resolve(clean.slice(0, Math.max(slash, 0)), signal);
  if (parent === undefined || clean === '') return undefined;
  const name = clean.slice(slash + 1);
  return parent.path === '' ? name : `${parent.path}/${name}`;
}
