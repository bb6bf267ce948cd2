import { throwIfAborted } from '../core/errors.ts';
import { addPath, findCandidates, type PathTree } from './candidates.ts';
import { compileRules } from './conflict-rules.ts';
import type { MergeContext, MergeDriver, SideVersion } from './driver.ts';
import { DRIVERS } from './drivers/index.ts';
import type { MergeProblem } from './merge-problem.ts';
import type { MergeConflict, MergeEntry, MergeResult, SettledPath } from './merge-result.ts';
import { entryFor } from './merge-entry.ts';
import { settlePath, type Place, type Settlement, type Settling, type Unsettled } from './settle-path.ts';
import { childOf, namesIn, rootOf, versionOf, type TreeNode } from './tree-versions.ts';

export interface MergeOptions {
  /** In the order in which they are asked; default all. */
  readonly drivers?: readonly MergeDriver[];
  readonly signal?: AbortSignal | undefined;
}

/** One path in every tree, and what the plain stack shows there. */
interface Visit extends Place {
  readonly plain: TreeNode;
  readonly candidates: PathTree | undefined;
  /** Set below a path that was taken from one side with all that it holds. */
  readonly forced: number | undefined;
  /** The directory above; nothing may be put into something else. */
  readonly parent: { readonly visit: Visit; readonly isDirectory: boolean } | undefined;
  /** What was found here and below does not count: it was decided anew from here on. */
  isVoid: boolean;
}

/**
 * Merges trees that grew from one ancestor: finds what the merge layer on top of the plain stack has to hold. A side
 * changed a path if its node differs from the ancestor's in anything but times. What one side changed, or several the same
 * way, is the result; the rest is settled by rules and drivers. Only paths that several layers name, or hide from each
 * other, are looked at. Conflicts are collected, never thrown.
 */
export async function mergeTrees(problem: MergeProblem, options: MergeOptions = {}): Promise<MergeResult> {
  const { signal, drivers = DRIVERS } = options;
  const merge = new Merge(problem, drivers, signal);
  return merge.run();
}

class Merge {
  readonly #problem: MergeProblem;
  readonly #drivers: readonly MergeDriver[];
  readonly #signal: AbortSignal | undefined;
  #entries: MergeEntry[] = [];
  #settled: SettledPath[] = [];
  readonly #conflicts = new Map<string, MergeConflict>();
  readonly #regenerate = new Map<string, { readonly command: readonly string[]; readonly paths: string[] }>();

  constructor(problem: MergeProblem, drivers: readonly MergeDriver[], signal: AbortSignal | undefined) {
    this.#problem = problem;
    this.#drivers = drivers;
    this.#signal = signal;
  }

  async run(): Promise<MergeResult> {
    const { ancestor, sides, plain } = this.#problem;
    const signal = this.#signal;
    const rules = compileRules(sides);
    const candidates = await findCandidates(sides, signal);
    const context = this.#context(rules);
    const owners = await this.#survey(context);
    for (const path of owners.keys()) addPath(candidates, path);
    const settling: Settling = { drivers: this.#drivers, context, rules, owners };
    const root: Visit = {
      path: '',
      ancestor: await rootOf(ancestor, signal),
      sides: await Promise.all(sides.map(side => rootOf(side.tree, signal))),
      plain: await rootOf(plain, signal),
      candidates,
      forced: undefined,
      parent: undefined,
      isVoid: false,
    };
    const pending = [root];
    for (let visit = pending.pop(); visit; visit = pending.pop()) {
      throwIfAborted(signal);
      if (isVoid(visit)) continue;
      for (const child of await this.#visit(visit, settling)) pending.push(child);
    }
    const byPath = <T extends { readonly path: string }>(a: T, b: T) =>
      a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
    return {
      entries: this.#entries.toSorted(byPath),
      settled: this.#settled.toSorted(byPath),
      regenerate: [...this.#regenerate.values()],
      conflicts: [...this.#conflicts.values()].toSorted(byPath),
    };
  }

  /** Settles one path and returns those below it that have to be looked at. */
  async #visit(visit: Visit, settling: Settling): Promise<Visit[]> {
    const { forced, candidates } = visit;
    const wanted = forced !== undefined || candidates?.wanted === true;
    const settled: Settlement | Unsettled = wanted ? await this.#settle(visit, settling) : untouched(visit);
    if ('conflict' in settled) {
      this.#addConflict(visit, settled);
      // Below a directory whose attributes clash there may be more; below a clash of kinds everything follows from it.
      return visit.sides.every(({ node }) => node?.inode.type === 'directory')
        ? this.#below(visit, undefined, true)
        : [];
    }
    const { desired } = settled;
    const present = desired.type !== 'absent';
    if (present && wanted && visit.parent?.isDirectory === false && settled.changed.length > 0) {
      return this.#missingParent(visit.parent.visit, settling);
    }
    if (wanted) await this.#record(visit, settled);
    const isDirectory =
      desired.type === 'node' || desired.type === 'merged' ? desired.at.node?.inode.type === 'directory' : false;
    return this.#below(visit, settled.subtree ?? forced, isDirectory || !wanted);
  }

  #settle(visit: Visit, settling: Settling): Promise<Settlement | Unsettled> | Settlement {
    if (visit.forced === undefined) return settlePath(visit, settling);
    const at = visit.sides[visit.forced]!;
    const desired =
      at.node === undefined ? ({ type: 'absent' } as const) : ({ type: 'node', side: visit.forced, at } as const);
    return { desired, changed: [visit.forced], driver: undefined };
  }

  async #record(visit: Visit, { desired, driver, changed }: Settlement): Promise<void> {
    const { path } = visit;
    const names = changed.map(side => this.#problem.sides[side]!.name);
    if (desired.type === 'regenerate') {
      const key = JSON.stringify(desired.command);
      const known = this.#regenerate.get(key) ?? { command: desired.command, paths: [] };
      known.paths.push(path);
      this.#regenerate.set(key, known);
      this.#settled.push({ path, driver: driver ?? 'generated', sides: names });
      return;
    }
    const entry = await entryFor(path, desired, visit.plain, this.#signal);
    if (entry) this.#entries.push(entry);
    if (driver !== undefined || entry) this.#settled.push({ path, driver: driver ?? 'layers', sides: names });
  }

  async #below(visit: Visit, forced: number | undefined, isDirectory: boolean): Promise<Visit[]> {
    const signal = this.#signal;
    const names = new Set(visit.candidates?.children.keys());
    if (forced !== undefined) {
      for (const name of await namesIn(visit.sides[forced]!, signal)) names.add(name);
      for (const name of await namesIn(visit.plain, signal)) names.add(name);
    }
    const children: Visit[] = [];
    for (const name of names) {
      children.push({
        path: visit.path === '' ? name : `${visit.path}/${name}`,
        ancestor: await childOf(visit.ancestor, name, signal),
        sides: await Promise.all(visit.sides.map(side => childOf(side, name, signal))),
        plain: await childOf(visit.plain, name, signal),
        candidates: visit.candidates?.children.get(name),
        forced,
        parent: { visit, isDirectory },
        isVoid: false,
      });
    }
    return children;
  }

  #addConflict({ path, ancestor, sides }: Visit, { changed, driver, conflict }: Unsettled): void {
    const did = changed.map(side => ({
      name: this.#problem.sides[side]!.name,
      did: describeChange(ancestor, sides[side]!),
    }));
    this.#conflicts.set(path, { ...conflict, path, driver, sides: did });
  }

  /** One side deleted or replaced a directory in which another put something: a rule settles it as a whole. */
  #missingParent(visit: Visit, { rules }: Settling): Visit[] {
    const { path, ancestor, sides } = visit;
    const rule = rules(path);
    if (rule === 'first' || rule === 'last') {
      visit.isVoid = true;
      this.#forget(path);
      const forced = rule === 'first' ? 0 : sides.length - 1;
      const names = this.#problem.sides.map(side => side.name);
      this.#settled.push({ path, driver: 'rule', sides: names });
      return [{ ...visit, forced, isVoid: false }];
    }
    if (this.#conflicts.has(path)) return [];
    const names = this.#problem.sides.map(side => side.name);
    const isKept = (side: number) => sides[side]!.node?.inode.type === 'directory';
    const gone = names.filter((_, side) => !isKept(side));
    const kept = names.filter((_, side) => isKept(side));
    this.#conflicts.set(path, {
      path,
      driver: undefined,
      message: `${gone.join(', ')} has no directory here, and ${kept.join(', ')} changed what is in it`,
      remedies: ['last', 'first'],
      sides: names.map((name, side) => ({ name, did: describeChange(ancestor, sides[side]!) })),
    });
    return [];
  }

  /** Takes back what was found at a path and below. */
  #forget(path: string): void {
    const isOutside = (other: { readonly path: string }) => other.path !== path && !other.path.startsWith(`${path}/`);
    this.#entries = this.#entries.filter(isOutside);
    this.#settled = this.#settled.filter(isOutside);
    for (const [key, conflict] of this.#conflicts) if (!isOutside(conflict)) this.#conflicts.delete(key);
  }

  #context(rules: ReturnType<typeof compileRules>): MergeContext {
    const { ancestor, sides } = this.#problem;
    const signal = this.#signal;
    const at = async (tree: typeof ancestor, path: string): Promise<TreeNode> => ({
      tree,
      node: await tree?.lookup(path, signal),
    });
    return {
      ancestor,
      sides,
      ruleFor: path => rules(path),
      versionsOf: async path => ({
        ancestor: versionOf(await at(ancestor, path), signal),
        sides: await Promise.all(
          sides.map(async ({ name, tree }, side): Promise<SideVersion> => ({
            ...versionOf(await at(tree, path), signal),
            name,
            side,
          })),
        ),
      }),
      signal,
    };
  }

  /** What package databases say of files. */
  async #survey(context: MergeContext): Promise<ReadonlyMap<string, number>> {
    const owners = new Map<string, number>();
    for (const driver of this.#drivers) {
      const survey = await driver.survey?.(context);
      if (!survey) continue;
      for (const [path, side] of survey.owners) owners.set(path, side);
      for (const { path, sides, reason } of survey.conflicts) {
        const did = sides.map(side => ({ name: this.#problem.sides[side]!.name, did: 'changed it' }));
        this.#conflicts.set(`${path}\0${this.#conflicts.size}`, { ...reason, path, driver: driver.name, sides: did });
      }
    }
    return owners;
  }
}

function isVoid(visit: Visit): boolean {
  for (let at: Visit | undefined = visit; at; at = at.parent?.visit) if (at.isVoid) return true;
  return false;
}

/** A directory on the way to a candidate: as it is. */
function untouched(visit: Visit): Settlement {
  const side = visit.sides.findIndex(({ node }) => node !== undefined);
  const at = side < 0 ? visit.ancestor : visit.sides[side]!;
  return { desired: { type: 'node', side, at }, changed: [], driver: undefined };
}

function describeChange({ node: before }: TreeNode, { node: after }: TreeNode): string {
  if (before === undefined) return after === undefined ? 'has nothing here' : `added a ${after.inode.type}`;
  if (after === undefined) return 'deleted it';
  if (after.inode.type !== before.inode.type) return `made a ${after.inode.type} of the ${before.inode.type}`;
  return after.inode === before.inode || after.layer === before.layer ? 'left it' : 'changed it';
}
