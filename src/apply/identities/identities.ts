import type { MergeContext, MergeDriver, Remark, SideVersion, Survey } from '../driver.ts';
import { conflictReason, shown, takeLastPresent } from '../file-versions.ts';
import { isSame, type TreeNode } from '../tree-versions.ts';
import { findIdentities, isIdentityFile, type Identity } from './identity-files.ts';

/**
 * What is generated once for a machine: pairs of keys, host keys, the machine id, random seeds. All files of one identity
 * come from one side, the last that has them unless a rule for one of the files says `first`, so that a key never meets the
 * certificate of another; which side that is, is always told.
 */
export const identities: MergeDriver = {
  name: 'identities',
  claims: isIdentityFile,
  merge: async versions => takeLastPresent(versions),
  survey,
};

async function survey(context: MergeContext): Promise<Survey> {
  const owners = new Map<string, number>();
  const remarks: Remark[] = [];
  const conflicts: Survey['conflicts'][number][] = [];
  const trees = [context.ancestor, ...context.sides.map(({ tree }) => tree)];
  if (context.sides.length < 2) return { owners, conflicts };
  for (const identity of await findIdentities(trees, context.signal)) {
    const changed = await changedBy(identity, context);
    if (changed.length < 2 || (await areEqual(identity, changed, context))) continue;
    const rule = identity.paths.map(path => context.ruleFor(path)).find(each => each !== undefined);
    if (rule === 'error') {
      const reason = conflictReason(`a rule of the recipe asks for an error about ${shown(identity.what)}`, {
        remedies: [],
      });
      conflicts.push({ path: identity.paths[0]!, sides: changed, reason });
      continue;
    }
    const candidates = await haveAny(identity.paths, changed, context);
    const best = identity.main === undefined ? candidates : await haveAny([identity.main], candidates, context);
    const chosen = rule === 'first' ? candidates[0]! : best.at(-1)!;
    for (const path of identity.paths) owners.set(path, chosen);
    const names = changed.filter(side => side !== chosen).map(side => context.sides[side]!.name);
    const text = `${shown(identity.what)} is that of ${context.sides[chosen]!.name}, not of ${names.join(' or ')}`;
    remarks.push({ level: 'info', text });
  }
  return { owners, conflicts, remarks };
}

/** Sides in which any file of the identity is not as in the ancestor. */
async function changedBy({ paths }: Identity, context: MergeContext): Promise<readonly number[]> {
  const changed = new Set<number>();
  for (const path of paths) {
    const { ancestor, sides } = await context.versionsOf(path);
    const before = { tree: context.ancestor, node: ancestor.node };
    for (const version of sides) {
      if (!(await isSame(before, nodeOf(version, context), context.signal))) changed.add(version.side);
    }
  }
  return [...changed].toSorted((a, b) => a - b);
}

async function areEqual({ paths }: Identity, among: readonly number[], context: MergeContext): Promise<boolean> {
  for (const path of paths) {
    const { sides } = await context.versionsOf(path);
    const [first, ...others] = among.map(side => nodeOf(sides[side]!, context));
    for (const other of others) if (!(await isSame(first!, other, context.signal))) return false;
  }
  return true;
}

/** Those of the sides that have any of the files; all of them where none has. */
async function haveAny(
  paths: readonly string[],
  among: readonly number[],
  context: MergeContext,
): Promise<readonly number[]> {
  const having = new Set<number>();
  for (const path of paths) {
    const { sides } = await context.versionsOf(path);
    for (const side of among) {
      const { node } = sides[side]!;
      // An empty machine id stands for none.
      if (node !== undefined && (node.inode.type !== 'file' || node.inode.size > 0)) having.add(side);
    }
  }
  return having.size > 0 ? among.filter(side => having.has(side)) : among;
}

function nodeOf({ side, node }: SideVersion, context: MergeContext): TreeNode {
  return { tree: context.sides[side]!.tree, node };
}
