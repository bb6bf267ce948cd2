import type { LayerStack } from '../../squashfs/layer-stack.ts';
import type { IdRange, OwnerMap } from '../../squashfs/owner-map.ts';
import type { SquashfsReader } from '../../squashfs/squashfs-reader.ts';
import type { RuleLookup } from '../conflict-rules.ts';
import type { MergeProblem } from '../merge-problem.ts';
import { parseAccounts } from './accounts-records.ts';
import { idClasses, type AccountKind } from './id-ranges.ts';
import { TakenIds, renumberedOf, settleIds, type Ids, type MovedAccount } from './settle-ids.ts';
import { rangesOf, settleRanges, type MovedRange } from './subordinate-ids.ts';

/** Larger files of accounts are not looked at; their driver refuses them. */
const MOST_BYTES = 1024 * 1024;

/** Ids in the merged tree, as far as they are not what each side says. */
export interface AccountIds {
  /** Ids by name in the merged tree, where ids that clash are to be renumbered. */
  readonly settled: Readonly<Record<AccountKind, Ids | undefined>>;
  readonly renumbered: readonly MovedAccount[];
  readonly moved: Readonly<Record<AccountKind, readonly MovedRange[]>>;
  /** What becomes of the owners of each side's own files, by position. */
  readonly owners: readonly OwnerMap[];
}

const PATHS: Readonly<Record<AccountKind, { readonly accounts: string; readonly ranges: string }>> = {
  user: { accounts: 'etc/passwd', ranges: 'etc/subuid' },
  group: { accounts: 'etc/group', ranges: 'etc/subgid' },
};

const KINDS = ['user', 'group'] as const;

/**
 * Finds accounts of different sides that cannot keep their ids beside each other, and gives them others. What a rule
 * settles otherwise than by `renumber` or `newer` is left alone. Damaged lines are passed over: the driver of the files
 * refuses them.
 */
export async function findAccountIds(
  problem: MergeProblem,
  rules: RuleLookup,
  signal?: AbortSignal,
): Promise<AccountIds> {
  const trees = [problem.ancestor, ...problem.sides.map(({ tree }) => tree), problem.previous?.tree];
  const read = async (path: string) => {
    const texts: string[] = [];
    for (const tree of trees) texts.push((await textAt(tree, path, signal)) ?? '');
    return texts;
  };
  const taken = new TakenIds(ownersOfFiles(problem));
  const texts = { user: await read(PATHS.user.accounts), group: await read(PATHS.group.accounts) };
  const ids = {
    user: texts.user.map(text => idsOf('user', text)),
    group: texts.group.map(text => idsOf('group', text)),
  };
  for (const kind of KINDS) {
    for (const tree of ids[kind].slice(0, -1)) for (const [name, id] of tree) taken.add(id, name);
  }
  const settled: Record<AccountKind, Ids | undefined> = { user: undefined, group: undefined };
  const moved: Record<AccountKind, readonly MovedRange[]> = { user: [], group: [] };
  const renumbered: MovedAccount[] = [];
  const conventions = await conventionsOf(problem, signal);
  for (const kind of KINDS) {
    const classes = idClasses(kind, ...conventions);
    const [ancestor, sides, previous] = apart(ids[kind]);
    if (mayRenumber(rules(PATHS[kind].accounts))) {
      const chosen = problem.previous?.chosen[kind] ?? new Set();
      settled[kind] = settleIds({ ancestor, sides, previous: { ids: previous, chosen }, classes, taken });
      for (const [side, own] of sides.entries()) renumbered.push(...renumberedOf(kind, own, side, settled[kind]));
    }
    if (!mayRenumber(rules(PATHS[kind].ranges))) continue;
    const [from, given, before] = apart((await read(PATHS[kind].ranges)).map(rangesOf));
    moved[kind] = settleRanges({ ancestor: from, sides: given, previous: before, first: classes.subordinateFirst });
  }
  const owners = problem.sides.map((_, side) => {
    const changes = (kind: AccountKind): IdRange[] => [
      ...renumbered
        .filter(each => each.kind === kind && each.side === side)
        .map(({ from, to }) => ({ from, to, count: 1 })),
      ...moved[kind]
        .filter(each => each.side === side)
        .map(({ from, to }) => ({ from: from.start, to, count: from.end - from.start })),
    ];
    return { uids: changes('user'), gids: changes('group') };
  });
  return { settled, renumbered, moved, owners };
}

/** Whether any account or range has other ids than its side says. */
export function isAnyRenumbered({ renumbered, moved }: AccountIds): boolean {
  return renumbered.length + moved.user.length + moved.group.length > 0;
}

/** The same trees with the files of each side's own layers under the owners that they are going to have. */
export function withOwners(problem: MergeProblem, ids: AccountIds): MergeProblem {
  if (!isAnyRenumbered(ids)) return problem;
  const sides = problem.sides.map((side, index) => {
    const map = ids.owners[index]!;
    if (side.tree === undefined || map.uids.length + map.gids.length === 0) return side;
    const owners = new Map(side.layers.map(layer => [layer, map]));
    const tree = side.tree.withOwners(owners);
    return { ...side, tree };
  });
  return { ...problem, sides };
}

function mayRenumber(rule: ReturnType<RuleLookup>): boolean {
  return rule === undefined || rule === 'renumber' || rule === 'newer';
}

/** Ids by name in a text of passwd(5) or group(5); damaged lines are passed over. */
export function idsOf(kind: AccountKind, text: string): Ids {
  const ids = new Map<string, number>();
  for (const { fields } of parseAccounts(text, kind === 'user' ? 'passwd' : 'group').lines.values()) {
    const [name, , id] = fields ?? [];
    if (name !== undefined && id !== undefined && /^\d{1,10}$/.test(id) && Number(id) < NO_ID)
      ids.set(name, Number(id));
  }
  return ids;
}

/** `(uid_t) -1`, which chown(2) takes for no id at all. */
const NO_ID = 0xffff_ffff;

/** The ancestor's, the sides', the previous version's. */
function apart<T>(trees: readonly T[]): [T, readonly T[], T] {
  return [trees[0]!, trees.slice(1, -1), trees.at(-1)!];
}

/** Owners and groups of all files in all trees. */
function ownersOfFiles({ ancestor, sides }: MergeProblem): ReadonlySet<number> {
  const layers = new Set<SquashfsReader>([
    ...(ancestor?.layers ?? []),
    ...sides.flatMap(({ tree }) => tree?.layers ?? []),
  ]);
  const ids = new Set<number>();
  for (const layer of layers) for (const id of layer.ownerIds) ids.add(id);
  return ids;
}

/** What the image says of its ids: the texts of `login.defs` and `adduser.conf`, the ancestor's where it has them. */
async function conventionsOf(
  { ancestor, sides }: MergeProblem,
  signal: AbortSignal | undefined,
): Promise<readonly [string, string]> {
  const first = async (...paths: readonly string[]) => {
    for (const tree of [ancestor, ...sides.map(side => side.tree)]) {
      for (const path of paths) {
        const text = await textAt(tree, path, signal);
        if (text !== undefined) return text;
      }
    }
    return '';
  };
  return [await first('etc/login.defs', 'usr/etc/login.defs'), await first('etc/adduser.conf')];
}

async function textAt(tree: LayerStack | undefined, path: string, signal?: AbortSignal): Promise<string | undefined> {
  const node = await tree?.lookup(path, signal);
  if (!tree || node?.inode.type !== 'file' || node.inode.size > MOST_BYTES) return undefined;
  return (await tree.readFile(node, { maxBytes: MOST_BYTES, ...(signal ? { signal } : {}) })).toString('latin1');
}
