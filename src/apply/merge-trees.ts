import { AsyncScope } from '../core/async-scope.ts';
import { throwIfAborted } from '../core/errors.ts';
import type { LayerStack } from '../squashfs/layer-stack.ts';
import { findAccountIds, withOwners } from './accounts/account-ids.ts';
import { renumberReport } from './accounts/renumber-report.ts';
import { ChildCursor } from './child-cursor.ts';
import { compileRules } from './conflict-rules.ts';
import { conflictAt, lostDirectory } from './describe-clash.ts';
import type { MergeDriver } from './driver.ts';
import { DRIVERS } from './drivers.ts';
import { mergeContext } from './merge-context.ts';
import { entryFor } from './merge-entry.ts';
import { MergeOutcome } from './merge-outcome.ts';
import type { MergeProblem } from './merge-problem.ts';
import type { MergeResult } from './merge-result.ts';
import { coveredBy, namedChildren, namedRoots, type NamedPath } from './named-paths.ts';
import { ownedPaths, type OwnedPaths, type Relocation } from './owned-paths.ts';
import { reviseOutcome } from './revise.ts';
import { settleLostDirectory, settlePath, type Settling } from './settle-path.ts';
import type { Place, Settlement } from './settlement.ts';
import { takeTree } from './take-tree.ts';
import { NOTHING, isDirectory, rootOf, type TreeNode } from './tree-versions.ts';

export interface MergeOptions {
  /** In the order in which they are asked; default all. */
  readonly drivers?: readonly MergeDriver[];
  /** Whether programs of the image can be run afterwards; default yes. */
  readonly mayRun?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** One path in every tree, and what the plain stack shows there. */
interface Visit extends Place {
  readonly plain: TreeNode;
  readonly named: NamedPath;
  readonly owned: OwnedPaths | undefined;
  /** Set below what the result has no directory for: takes what remains nevertheless. */
  readonly remains: Remains | undefined;
}

/** What is left in a directory that the result does not have. */
class Remains {
  readonly sides = new Set<number>();
  example: string | undefined;

  add(path: string, sides: Iterable<number>): void {
    this.example ??= path;
    for (const side of sides) this.sides.add(side);
  }
}

/**
 * Merges trees that grew from one ancestor: finds what the merge layer on top of the plain stack has to hold. A side
 * changed a path if its node differs from the ancestor's in anything but times. What one side changed, or several the same
 * way, is the result; the rest is settled by package databases, rules and drivers. Directories merge; one that a side
 * deleted or replaced while another put something into it is a conflict. Only paths that several sides' layers name, or
 * hide from each other, are looked at. Conflicts are collected, never thrown.
 *
 * Throws `invalid-input` for rules that are no globs, and what the layers' readers throw.
 */
export async function mergeTrees(given: MergeProblem, options: MergeOptions = {}): Promise<MergeResult> {
  const { signal, drivers = DRIVERS } = options;
  const outcome = new MergeOutcome();
  if (given.sides.length < 2) return outcome.result();
  const rules = compileRules(given.sides);
  const accounts = await findAccountIds(given, rules, signal);
  const problem = withOwners(given, accounts);
  const { ancestor, sides, plain } = problem;
  const context = mergeContext(problem, { ...options, rules, accounts });
  const { owned, ...surveyed } = await ownedPaths(drivers, context, outcome);
  const merge = new TreeMerge(problem, { drivers, context, rules, ...surveyed }, outcome);
  const roots = new Map<number, TreeNode>();
  for (const [side, { tree }] of sides.entries()) roots.set(side, await rootOf(tree, signal));
  await merge.visit({
    path: '',
    ancestor: await rootOf(ancestor, signal),
    sides: roots,
    plain: await rootOf(plain, signal),
    named: await namedRoots(sides, signal),
    owned,
    remains: undefined,
  });
  if (!outcome.hasConflicts) await reviseOutcome(problem, drivers, context, outcome);
  return outcome.result(entries => renumberReport(problem, accounts, entries));
}

class TreeMerge {
  readonly #problem: MergeProblem;
  readonly #settling: Settling;
  readonly #outcome: MergeOutcome;
  readonly #signal: AbortSignal | undefined;

  constructor(problem: MergeProblem, settling: Settling, outcome: MergeOutcome) {
    this.#problem = problem;
    this.#settling = settling;
    this.#outcome = outcome;
    this.#signal = settling.context.signal;
  }

  /** Settles a path and all below it. */
  async visit(visit: Visit): Promise<void> {
    throwIfAborted(this.#signal);
    const settled = await settlePath(visit, this.#settling);
    if ('conflict' in settled) {
      this.#outcome.addConflict(await conflictAt(visit, settled, this.#problem.sides, this.#signal));
      visit.remains?.add(visit.path, settled.changed);
      // Below a clash of kinds everything follows from it.
      if (settled.changed.every(side => isDirectory(visit.sides.get(side)!))) await this.#below(visit, visit.remains);
      return;
    }
    if (settled.whole) return this.#takeWhole(visit, settled);
    const { desired } = settled;
    if (desired.type === 'regenerate' || (desired.type !== 'absent' && isDirectory(desired.at))) {
      await this.#record(visit, settled);
      return this.#below(visit, visit.remains);
    }
    const mark = this.#outcome.mark();
    const remains = new Remains();
    await this.#below(visit, remains);
    if (remains.example !== undefined) {
      this.#outcome.backTo(mark);
      return this.#loseDirectory(visit, settled, remains);
    }
    // What is not a directory hides whatever the plain stack has below.
    this.#outcome.forgetEntries(mark);
    await this.#record(visit, settled);
  }

  /** Something is left in a directory that the result does not have. */
  async #loseDirectory(visit: Visit, { changed }: Settlement, { sides, example = '' }: Remains): Promise<void> {
    const involved = [...new Set([...changed, ...sides])].filter(side => side >= 0).sort((a, b) => a - b);
    const settled = await settleLostDirectory(visit, involved, this.#settling);
    if (settled && 'desired' in settled) return this.#takeWhole(visit, settled);
    visit.remains?.add(visit.path, involved);
    const unsettled = settled ?? lostDirectory(visit, involved, example, this.#problem.sides);
    this.#outcome.addConflict(await conflictAt(visit, unsettled, this.#problem.sides, this.#signal));
  }

  async #takeWhole(visit: Visit, settled: Settlement): Promise<void> {
    const { path, plain } = visit;
    const { desired, changed, driver } = settled;
    if (desired.type === 'absent') return this.#record(visit, settled);
    if (desired.type !== 'node') throw new Error('only a side can be taken as a whole');
    visit.remains?.add(path, changed);
    const names = this.#names(changed);
    // The path itself is what was settled, also where the plain stack shows it already.
    this.#outcome.settle(path, driver, names, await entryFor(path, settled, plain, this.#signal));
    const take = { path, side: desired.side, at: desired.at, plain };
    await takeTree(take, entry => this.#outcome.settle(entry.path, driver, names, entry), this.#signal);
  }

  async #record(visit: Visit, settled: Settlement): Promise<void> {
    const { path, plain, remains, movedBy } = visit;
    const { desired, changed, driver = movedBy } = settled;
    if (desired.type !== 'absent') remains?.add(path, changed);
    const names = this.#names(changed);
    if (desired.type === 'regenerate') {
      this.#outcome.regenerate(path, driver ?? 'generated', names, desired.command);
      return;
    }
    const by = driver ?? (desired.type === 'node' && desired.at.node?.stored ? 'accounts' : undefined);
    const entry = await entryFor(path, settled, plain, this.#signal);
    this.#outcome.settle(path, entry ? by : driver, names, entry);
  }

  async #below(visit: Visit, remains: Remains | undefined): Promise<void> {
    const signal = this.#signal;
    // A side without a directory here differs from the ancestor in everything below.
    const lacking = [...visit.sides].filter(([, node]) => !isDirectory(node)).map(([side]) => side);
    const named = coveredBy(visit.named, lacking);
    const children = await namedChildren(named, new Set(visit.owned?.keys()), signal);
    await using scope = new AsyncScope();
    const cursor = (parent: TreeNode) => scope.use(new ChildCursor(parent, children.length, signal));
    const ancestors = cursor(visit.ancestor);
    const plains = cursor(visit.plain);
    const cursors = new Map<number, ChildCursor>();
    for (const { name, sides, named: below } of children) {
      const nodes = new Map<number, TreeNode>();
      for (const side of sides) {
        let own = cursors.get(side);
        if (own === undefined) cursors.set(side, (own = cursor(visit.sides.get(side) ?? NOTHING)));
        nodes.set(side, await own.child(name));
      }
      const path = visit.path === '' ? name : `${visit.path}/${name}`;
      const ancestor = await ancestors.child(name);
      const relocation = this.#settling.elsewhere.get(path);
      await this.visit({
        path,
        ...(relocation ? await this.#relocated(path, relocation) : { ancestor, sides: nodes }),
        plain: await plains.child(name),
        named: below,
        owned: visit.owned?.get(name),
        remains,
      });
    }
  }

  /** What belongs to a path in trees that have it elsewhere. */
  async #relocated(path: string, { driver, at }: Relocation): Promise<Pick<Visit, 'ancestor' | 'sides' | 'movedBy'>> {
    const find = async (tree: LayerStack | undefined, position: number): Promise<TreeNode> => {
      const place = at.has(position) ? at.get(position) : path;
      const node = place === undefined ? undefined : await tree?.lookup(place, this.#signal);
      return node === undefined ? NOTHING : { tree, node };
    };
    const sides = new Map<number, TreeNode>();
    for (const [side, { tree }] of this.#problem.sides.entries()) sides.set(side, await find(tree, side));
    return { ancestor: await find(this.#problem.ancestor, -1), sides, movedBy: driver };
  }

  #names(sides: readonly number[]): readonly string[] {
    return sides.map(side => this.#problem.sides[side]!.name);
  }
}
