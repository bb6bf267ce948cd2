import type { MergeContext, MergeDriver, MergedPlace, Revision } from './driver.ts';
import type { MergeOutcome } from './merge-outcome.ts';
import type { MergeProblem } from './merge-problem.ts';
import type { MergeEntry } from './merge-result.ts';
import { MergedTree } from './merged-tree.ts';

/** Asks drivers, in their order, what has to follow from what the merge came to, and changes the outcome accordingly. */
export async function reviseOutcome(
  problem: MergeProblem,
  drivers: readonly MergeDriver[],
  context: MergeContext,
  outcome: MergeOutcome,
): Promise<void> {
  for (const driver of drivers) {
    if (driver.revise === undefined) continue;
    const merged = new MergedTree(problem, outcome.result(), context.signal);
    for (const revision of await driver.revise(merged, context)) {
      const { path, outcome: wanted } = revision;
      if (wanted.type === 'regenerate') {
        const sides = context.sides.map(({ name }) => name);
        outcome.revise(path, driver.name, undefined);
        outcome.regenerate(path, driver.name, sides, wanted.command);
        continue;
      }
      outcome.revise(path, driver.name, await entryOf(problem, revision, await merged.find(path, false), context));
    }
  }
}

/** What the merge layer needs for a revision; nothing where the plain stack shows nothing anyway. */
async function entryOf(
  problem: MergeProblem,
  { path, outcome }: Revision,
  place: MergedPlace | undefined,
  context: MergeContext,
): Promise<MergeEntry | undefined> {
  if (outcome.type === 'drop') {
    const shown = await problem.plain?.lookup(path, context.signal);
    return shown === undefined ? undefined : { type: 'delete', path };
  }
  if (outcome.type !== 'content') throw new Error('a revision makes content or nothing');
  if (place === undefined) throw new Error(`there is nothing at ${path} to be revised`);
  const like = await someFile(problem, path, context.signal);
  return { type: 'merged', path, like, bytes: outcome.bytes, attributes: await place.attributes() };
}

/** A file of a tree at the path. */
async function someFile(
  { ancestor, sides }: MergeProblem,
  path: string,
  signal: AbortSignal | undefined,
): Promise<Extract<MergeEntry, { type: 'merged' }>['like']> {
  const trees = [...sides.map(({ tree }, side) => ({ tree, side })).toReversed(), { tree: ancestor, side: -1 }];
  for (const { tree, side } of trees) {
    const node = await tree?.lookup(path, signal);
    if (node?.inode.type === 'file') return { side, node };
  }
  throw new Error(`no tree has a file ${path}`);
}
