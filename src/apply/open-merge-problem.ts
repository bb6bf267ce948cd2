import type { Digest } from '../core/digest.ts';
import { LayerStack } from '../squashfs/layer-stack.ts';
import type { SquashfsReader } from '../squashfs/squashfs-reader.ts';
import type { ConflictRule, MergeProblem, PreviousImage } from './merge-problem.ts';

/** A merge problem as digests of squashfs layers, all lists bottom up. */
export interface MergePlan {
  readonly ancestor: readonly Digest[];
  readonly sides: readonly {
    readonly name: string;
    readonly tree: readonly Digest[];
    readonly own: readonly Digest[];
    readonly rules: readonly ConflictRule[];
  }[];
  readonly plain: readonly Digest[];
  readonly previous?: { readonly layers: readonly Digest[]; readonly chosen: PreviousImage['chosen'] } | undefined;
}

/**
 * The problem on opened layers, which stay the opener's: nothing of the result is to be disposed.
 * @param open gives the same reader for the same digest, however often it is asked
 */
export async function openMergeProblem(
  plan: MergePlan,
  open: (digests: readonly Digest[]) => Promise<readonly SquashfsReader[]>,
): Promise<MergeProblem> {
  const stack = async (digests: readonly Digest[]) =>
    digests.length === 0 ? undefined : new LayerStack(await open(digests));
  const sides = [];
  for (const { name, tree, own, rules } of plan.sides) {
    sides.push({ name, tree: await stack(tree), layers: await open(own), rules });
  }
  const previous = plan.previous && { tree: await stack(plan.previous.layers), chosen: plan.previous.chosen };
  return { ancestor: await stack(plan.ancestor), sides, plain: await stack(plan.plain), previous };
}
