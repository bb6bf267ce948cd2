import type { LayerStack } from '../squashfs/layer-stack.ts';
import type { AccountIds } from './accounts/account-ids.ts';
import type { RuleLookup } from './conflict-rules.ts';
import type { MergeContext, SideVersion } from './driver.ts';
import type { MergeProblem } from './merge-problem.ts';
import { versionOf } from './tree-versions.ts';

/** What drivers may look at besides the path that they are asked about. */
export function mergeContext(
  { ancestor, sides }: MergeProblem,
  {
    rules,
    accounts,
    mayRun = true,
    signal,
  }: {
    readonly rules: RuleLookup;
    readonly accounts: AccountIds;
    readonly mayRun?: boolean | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): MergeContext {
  const version = async (tree: LayerStack | undefined, path: string) =>
    versionOf({ tree, node: await tree?.lookup(path, signal) }, signal);
  return {
    ancestor,
    sides,
    accounts,
    ruleFor: path => rules(path),
    async versionsOf(path) {
      const versions: SideVersion[] = [];
      for (const [side, { name, tree }] of sides.entries())
        versions.push({ ...(await version(tree, path)), name, side });
      return { ancestor: await version(ancestor, path), sides: versions };
    },
    mayRun,
    signal,
  };
}
