import { imagePath } from '../../core/paths.ts';
import type { LayerStack, MergedNode } from '../../squashfs/layer-stack.ts';
import type { MergeContext, Outcome } from '../driver.ts';
import { isSameNode } from '../tree-versions.ts';
import {
  formatAlternatives,
  mergeAlternatives,
  parseAlternatives,
  type Alternatives,
  type MergedAlternatives,
  type SideAlternatives,
} from './alternatives.ts';
import { conflict, shown, textOutcome, type ConflictOutcome } from '../file-versions.ts';

/** Where dpkg and chkconfig keep their groups. */
const GROUPS = ['var/lib/dpkg/alternatives', 'var/lib/alternatives'] as const;
const LINKS = 'etc/alternatives';
const MAX_GROUP_BYTES = 1024 * 1024;

interface TreeGroup {
  readonly group: Alternatives | undefined;
  readonly current: string | undefined;
}

/** The sides that changed a group, and what becomes of it. */
interface GroupPlan {
  readonly sides: readonly (SideAlternatives & { readonly side: number })[];
  readonly ancestor: TreeGroup;
  readonly merged: MergedAlternatives;
}

/** Merges the file of one group. */
export async function mergeGroupFile(context: MergeContext, name: string): Promise<Outcome> {
  const plan = await planGroup(context, name, allSides(context));
  if ('type' in plan) return plan;
  const { group } = plan.merged;
  return group === undefined ? { type: 'drop' } : textOutcome(formatAlternatives(group));
}

/**
 * Links that have to come from the side whose choice won: those of groups that several sides changed. Damaged and clashing
 * groups are left to the merge of their files.
 */
export async function ownersOfLinks(context: MergeContext): Promise<ReadonlyMap<string, number>> {
  const owners = new Map<string, number>();
  for (const [name, changed] of await changedGroups(context)) {
    if (changed.length < 2) continue;
    const plan = await planGroup(context, name, changed);
    if ('type' in plan) continue;
    const { merged, sides, ancestor } = plan;
    const owner = sides.find(({ current }) => current === merged.current)?.side;
    // Where nobody's choice but the ancestor's won, any side that left it alone shows it.
    const showing = owner ?? (ancestor.current === merged.current ? unchangedSide(context, changed) : undefined);
    if (showing === undefined) continue;
    owners.set(`${LINKS}/${name}`, showing);
    for (const { group } of [ancestor, ...sides]) {
      for (const slave of group?.slaves.values() ?? []) {
        owners.set(`${LINKS}/${slave.name}`, showing);
        owners.set(imagePath(slave.link), showing);
      }
    }
  }
  return owners;
}

/** The side whose link agrees with the merged group; without a group of that name, there is nothing to go by. */
export async function mergeLink(context: MergeContext, name: string): Promise<Outcome | undefined> {
  const plan = await planGroup(context, name, allSides(context));
  if ('type' in plan) return plan;
  const { group, current } = plan.merged;
  if (group === undefined) return undefined;
  const owner = plan.sides.find(side => side.current === current)?.side;
  return owner === undefined ? undefined : { type: 'take', side: owner };
}

async function planGroup(
  context: MergeContext,
  name: string,
  changed: readonly number[],
): Promise<GroupPlan | ConflictOutcome> {
  const ancestor = await readGroup(context.ancestor, name, context.signal);
  const damaged = (whose: string, what: string) =>
    conflict(`the alternatives ${shown(name)} of ${whose} are damaged: ${what}`);
  if (typeof ancestor === 'string') return damaged('the base', ancestor);
  const sides: (SideAlternatives & { side: number })[] = [];
  for (const side of changed) {
    const { name: sideName, tree } = context.sides[side]!;
    const found = await readGroup(tree, name, context.signal);
    if (typeof found === 'string') return damaged(sideName, found);
    sides.push({ side, name: sideName, ...found });
  }
  const merged = mergeAlternatives(shown(name), ancestor, sides);
  return typeof merged === 'string' ? conflict(merged) : { ancestor, sides, merged };
}

/** Names of groups whose file differs from the ancestor's, with the sides that changed each. */
async function changedGroups(context: MergeContext): Promise<ReadonlyMap<string, readonly number[]>> {
  const changed = new Map<string, number[]>();
  for (const groups of GROUPS) await addChangedGroups(groups, context, changed);
  return changed;
}

async function addChangedGroups(groups: string, context: MergeContext, changed: Map<string, number[]>): Promise<void> {
  const { ancestor, signal } = context;
  const before = await ancestor?.lookup(groups, signal);
  for (const [side, { tree }] of context.sides.entries()) {
    const directory = await tree?.lookup(groups, signal);
    if (
      tree === undefined ||
      directory === undefined ||
      isSameNode({ tree, node: directory }, { tree: ancestor, node: before })
    )
      continue;
    const seen = new Set<string>();
    for await (const { name, node } of tree.readDirectory(directory, signal)) {
      seen.add(name);
      const counterpart = { tree: ancestor, node: before && (await ancestor?.child(before, name, signal)) };
      if (!isSameNode({ tree, node }, counterpart)) changed.set(name, [...(changed.get(name) ?? []), side]);
    }
    if (before === undefined || ancestor === undefined) continue;
    for await (const { name } of ancestor.readDirectory(before, signal)) {
      if (!seen.has(name)) changed.set(name, [...(changed.get(name) ?? []), side]);
    }
  }
}

async function readGroup(
  tree: LayerStack | undefined,
  name: string,
  signal: AbortSignal | undefined,
): Promise<TreeGroup | string> {
  let file: MergedNode | undefined;
  for (const groups of GROUPS) file ??= await tree?.lookup(`${groups}/${name}`, signal);
  const link = await tree?.lookup(`${LINKS}/${name}`, signal);
  const current = link?.inode.type === 'symlink' ? link.inode.target : undefined;
  if (tree === undefined || file === undefined) return { group: undefined, current };
  if (file.inode.type !== 'file' || file.inode.size > MAX_GROUP_BYTES) return 'they are no file of a usual size';
  const text = (await tree.readFile(file, { ...(signal && { signal }) })).toString('latin1');
  const group = parseAlternatives(text);
  return typeof group === 'string' ? group : { group, current };
}

function unchangedSide(context: MergeContext, changed: readonly number[]): number | undefined {
  const side = context.sides.findIndex((_, index) => !changed.includes(index));
  return side < 0 ? undefined : side;
}

function allSides(context: MergeContext): readonly number[] {
  return context.sides.map((_, side) => side);
}
