import { isIn, type AccountKind, type IdClasses } from './id-ranges.ts';
import { stableIds } from './stable-ids.ts';

/** Ids by name, in the order of the file. */
export type Ids = ReadonlyMap<string, number>;

/** What the version of the image before had. */
export interface PreviousIds {
  readonly ids: Ids;
  /** Names whose ids a merge has chosen. */
  readonly chosen: ReadonlySet<string>;
}

/** Accounts of one kind in all trees of a merge. */
export interface IdProblem {
  readonly ancestor: Ids;
  /** In the order of application. */
  readonly sides: readonly Ids[];
  readonly previous?: PreviousIds | undefined;
  readonly classes: IdClasses;
  /** Ids that nobody may be given. */
  readonly taken: TakenIds;
}

/** Who has which number, users and groups together: a number is free for a name where nobody else has it. */
export class TakenIds {
  readonly #files: ReadonlySet<number>;
  readonly #names = new Map<number, Set<string>>();

  /** @param files numbers that files belong to */
  constructor(files: ReadonlySet<number>) {
    this.#files = files;
  }

  add(id: number, name: string): void {
    const names = this.#names.get(id);
    if (names) names.add(name);
    else this.#names.set(id, new Set([name]));
  }

  isFree(id: number, name: string): boolean {
    const names = this.#names.get(id);
    return names === undefined ? !this.#files.has(id) : names.size === 1 && names.has(name);
  }
}

interface Claim {
  readonly name: string;
  readonly id: number;
  /** Lower goes first. */
  readonly rank: number;
  /** Position of the side that brought the name first; -1: the ancestor. */
  readonly side: number;
}

/**
 * The id of every account after a merge, by name. What nobody changed stays; then come ids that a merge of this image has
 * chosen before, then those that the image had, then the order of application. Who comes too late for an id gets another
 * of the same class, which follows from its name. Names that trees have together under one id stay together. A name whose
 * class has no free id keeps its own: then two have it. Adds what it gives away to `taken`.
 */
export function settleIds(problem: IdProblem): Ids {
  const { taken } = problem;
  const settled = new Map<string, number>();
  const holders = new Map<number, string[]>();
  const give = (name: string, id: number) => {
    settled.set(name, id);
    taken.add(id, name);
    const names = holders.get(id);
    if (names) names.push(name);
    else holders.set(id, [name]);
  };
  const late: Claim[] = [];
  for (const claim of claims(problem)) {
    const others = holders.get(claim.id);
    const fits =
      others === undefined || claim.rank === FIXED || areTogether(problem, [others[0]!, claim.name], claim.id);
    if (fits) give(claim.name, claim.id);
    else late.push(claim);
  }
  const moved = new Map<string, number>();
  for (const { name, id, side } of late) {
    const key = `${side}:${id}`;
    const to = moved.get(key) ?? (moved.size < MOST_MOVED ? freeId(problem, name, id) : undefined) ?? id;
    moved.set(key, to);
    give(name, to);
  }
  return settled;
}

/** More accounts than any image has; finding free ids for many costs the square of their number. */
const MOST_MOVED = 1000;

const FIXED = 0;
const CHOSEN = 1;
const KEPT = 2;
const NEW = 3;

function claims({ ancestor, sides, previous }: IdProblem): readonly Claim[] {
  const found: Claim[] = [];
  const names = new Set(ancestor.keys());
  for (const side of sides) for (const name of side.keys()) names.add(name);
  for (const name of names) {
    const before = ancestor.get(name);
    const changed = sides.flatMap((ids, side) => {
      const id = ids.get(name);
      return id === undefined || id === before ? [] : [{ id, side }];
    });
    const [first] = changed;
    if (first === undefined) {
      // What one side has taken out, and nobody has changed, is gone.
      if (before !== undefined && sides.every(ids => ids.has(name)))
        found.push({ name, id: before, rank: FIXED, side: -1 });
      continue;
    }
    const old = previous?.ids.get(name);
    const { side } = first;
    if (old !== undefined && previous!.chosen.has(name)) found.push({ name, id: old, rank: CHOSEN, side });
    else if (changed.some(({ id }) => id === old)) found.push({ name, id: old!, rank: KEPT, side });
    else found.push({ name, id: first.id, rank: NEW, side });
  }
  return found.sort((a, b) => a.rank - b.rank || a.side - b.side);
}

/** Whether a tree has all of these names under the id. */
function areTogether({ ancestor, sides }: IdProblem, names: readonly string[], id: number): boolean {
  return [ancestor, ...sides].some(ids => names.every(name => ids.get(name) === id));
}

function freeId({ classes, taken }: IdProblem, name: string, id: number): number | undefined {
  const kind = id < classes.ordinary.first || isIn(classes.system, id) ? 'system' : 'ordinary';
  for (const candidate of stableIds(name, kind, classes)) if (taken.isFree(candidate, name)) return candidate;
  return undefined;
}

/** An account whose files and records got another id. */
export interface MovedAccount {
  readonly kind: AccountKind;
  /** A byte string (latin1). */
  readonly name: string;
  /** Position of the side. */
  readonly side: number;
  readonly from: number;
  readonly to: number;
}

/** What settled ids mean for one side: each id belongs to the first name that has it there. */
export function renumberedOf(kind: AccountKind, ids: Ids, side: number, settled: Ids): readonly MovedAccount[] {
  const seen = new Set<number>();
  const found: MovedAccount[] = [];
  for (const [name, from] of ids) {
    const to = settled.get(name);
    if (to === undefined || seen.has(from)) continue;
    seen.add(from);
    if (to !== from) found.push({ kind, name, side, from, to });
  }
  return found;
}
