import { imagePath } from '../../core/paths.ts';
import type { LayerStack } from '../../squashfs/layer-stack.ts';
import type { MergeContext, Survey } from '../driver.ts';
import { showsAncestors } from './dpkg-changed.ts';
import { conflictReason, shown } from './file-versions.ts';

const DIVERSIONS = 'var/lib/dpkg/diversions';
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Files that one side put where another side diverts: had both been installed one after the other, the file would lie
 * where the diversion points to.
 */
export async function diversionConflicts(context: MergeContext): Promise<Survey['conflicts']> {
  const { ancestor, sides } = await context.versionsOf(DIVERSIONS);
  const changed = sides.filter(version => !showsAncestors(context, version, ancestor.node));
  if (changed.length === 0 || context.sides.length < 2) return [];
  const before = await diversionsOf(context.ancestor, context.signal);
  const conflicts: Survey['conflicts'][number][] = [];
  for (const { side, name } of changed) {
    const { tree } = context.sides[side]!;
    for (const [from, to] of await diversionsOf(tree, context.signal)) {
      if (before.has(from)) continue;
      const path = await placeOf(tree, from, context.signal);
      if (path === undefined || (await context.ancestor?.lookup(path, context.signal))) continue;
      for (const [other, { name: otherName, tree: otherTree }] of context.sides.entries()) {
        if (other === side || !(await otherTree?.lookup(path, context.signal))) continue;
        if ((await diversionsOf(otherTree, context.signal)).has(from)) continue;
        if (await tree?.lookup(imagePath(to), context.signal)) continue;
        const message = `${name} diverts ${shown(from)} to ${shown(to)}, and ${otherName} has a file there`;
        conflicts.push({ path, sides: [side, other], reason: conflictReason(message, { remedies: [] }) });
      }
    }
  }
  return conflicts;
}

async function diversionsOf(
  tree: LayerStack | undefined,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, string>> {
  const node = await tree?.lookup(DIVERSIONS, signal);
  if (tree === undefined || node?.inode.type !== 'file' || node.inode.size > MAX_BYTES) return new Map();
  const text = await tree.readFile(node, signal ? { signal } : {});
  const lines = text.toString('latin1').split('\n');
  const found = new Map<string, string>();
  for (let at = 0; at + 2 < lines.length; at += 3) found.set(lines[at]!, lines[at + 1]!);
  return found;
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
