import { isIn, type AccountKind, type IdClasses } from './id-ranges.ts';
import { TakenIds, type Ids } from './settle-ids.ts';
import { stableIds } from './stable-ids.ts';

/** Accounts before and after a step. */
export interface AccountChange {
  readonly before: Readonly<Record<AccountKind, Ids>>;
  readonly after: Readonly<Record<AccountKind, Ids>>;
  readonly classes: Readonly<Record<AccountKind, IdClasses>>;
  /** Owners and groups of files, in layers below and in what the step wrote. */
  readonly filesBelow: ReadonlySet<number>;
  readonly filesWritten: ReadonlySet<number>;
  /** Whether whoever wrote the step names this number. */
  readonly isAskedFor: (id: number) => boolean;
}

/** A new account, the id that a tool gave it, and the one that it is to have. */
export interface StableAccount {
  readonly kind: AccountKind;
  /** A byte string (latin1). */
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

const KINDS = ['user', 'group'] as const;

/**
 * The ids that the accounts which a step made get by their names, so that one name has one id in every image. An id that
 * somebody asked for stays: one outside of the system class, one that the step names, one that stands apart from all
 * others, as no tool chooses it by itself, and one that several names share. So does one that files of layers below have
 * without a name. An account is new in its layer, hence every file in it with the old id belongs to it.
 */
export function stableAccounts(change: AccountChange): readonly StableAccount[] {
  const { before, after, classes } = change;
  const taken = new TakenIds(new Set([...change.filesBelow, ...change.filesWritten]));
  for (const ids of [before, after]) {
    for (const kind of KINDS) for (const [name, id] of ids[kind]) taken.add(id, name);
  }
  const found: StableAccount[] = [];
  for (const kind of KINDS) {
    for (const [name, from] of after[kind]) {
      if (before[kind].has(name) || !isAutomatic(change, kind, name, from)) continue;
      for (const to of stableIds(name, 'system', classes[kind])) {
        if (to !== from && !taken.isFree(to, name)) continue;
        if (to === from) break;
        taken.add(to, name);
        found.push({ kind, name, from, to });
        break;
      }
    }
  }
  return found;
}

function isAutomatic(change: AccountChange, kind: AccountKind, name: string, id: number): boolean {
  const { before, after, classes } = change;
  const { system } = classes[kind];
  if (!isIn(system, id) || change.isAskedFor(id)) return false;
  const has = (ids: Ids, wanted: number) => [...ids].some(([other, own]) => own === wanted && other !== name);
  if (has(before[kind], id) || has(after[kind], id)) return false;
  const other = kind === 'user' ? 'group' : 'user';
  if (change.filesBelow.has(id) && ![...before[other].values()].includes(id)) return false;
  // adduser and busybox count up from the first, useradd and systemd-sysusers down from the last or the lowest in use.
  if (id === system.first || id === system.last) return true;
  const everybody = [before.user, before.group, after.user, after.group];
  return everybody.some(ids => has(ids, id - 1) || has(ids, id + 1));
}
