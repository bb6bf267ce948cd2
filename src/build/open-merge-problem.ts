import type { ConflictRule, MergeProblem } from '../apply/merge-problem.ts';
import { AsyncScope } from '../core/async-scope.ts';
import type { Digest } from '../core/digest.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { openLayer } from '../sources/layer-stack.ts';
import { LayerStack } from '../squashfs/layer-stack.ts';
import type { SquashfsReader } from '../squashfs/squashfs-reader.ts';

/** A merge problem as digests of squashfs blobs of a layout, all lists bottom up. */
export interface MergeLayers {
  readonly ancestor: readonly Digest[];
  readonly sides: readonly {
    readonly name: string;
    readonly tree: readonly Digest[];
    readonly own: readonly Digest[];
    readonly rules: readonly ConflictRule[];
  }[];
  readonly plain: readonly Digest[];
}

/** Opens every layer once, however many trees hold it. The caller disposes the problem. */
export async function openMergeProblem(
  layers: MergeLayers,
  layout: LayoutStore,
  signal?: AbortSignal,
): Promise<MergeProblem & AsyncDisposable> {
  const scope = new AsyncScope();
  try {
    const readers = new Map<Digest, SquashfsReader>();
    for (const digest of new Set(
      [layers.ancestor, layers.plain, ...layers.sides.flatMap(({ tree, own }) => [tree, own])].flat(),
    )) {
      readers.set(digest, scope.use(await openLayer(layout, { digest }, signal)));
    }
    const read = (digests: readonly Digest[]) => digests.map(digest => readers.get(digest)!);
    // The readers are the scope's: the stacks are never disposed.
    const stack = (digests: readonly Digest[]) => (digests.length === 0 ? undefined : new LayerStack(read(digests)));
    return {
      ancestor: stack(layers.ancestor),
      sides: layers.sides.map(({ name, tree, own, rules }) => ({ name, tree: stack(tree), layers: read(own), rules })),
      plain: stack(layers.plain),
      [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
    };
  } catch (error) {
    await scope[Symbol.asyncDispose]();
    throw error;
  }
}
