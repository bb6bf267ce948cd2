import type { ConflictResolution } from '../recipe/model.ts';
import type { RuleLookup } from './conflict-rules.ts';
import type {
  ConflictReason,
  DriverName,
  MergeContext,
  MergeDriver,
  Outcome,
  PathVersions,
  SideVersion,
} from './driver.ts';
import { generated } from './drivers/generated.ts';
import { text } from './drivers/text.ts';
import { mergeAttributes } from './merge-attributes.ts';
import type { MergedAttributes } from './merge-result.ts';
import { differences, isSame, versionOf, type TreeNode } from './tree-versions.ts';

/** What the merged tree has at a path. */
export type Desired =
  /** A node of a tree as it is; position -1 is the ancestor. Nothing where the tree has nothing. */
  | { readonly type: 'node'; readonly side: number; readonly at: TreeNode }
  | {
      readonly type: 'merged';
      readonly side: number;
      readonly at: TreeNode;
      readonly bytes: Uint8Array | undefined;
      readonly attributes: MergedAttributes;
    }
  | { readonly type: 'absent' }
  | { readonly type: 'regenerate'; readonly command: readonly string[] };

export interface Settlement {
  readonly desired: Desired;
  /** Positions of the sides that changed the path. */
  readonly changed: readonly number[];
  /** What settled it; `undefined` where there was nothing to settle. */
  readonly driver: DriverName | undefined;
  /** The side whose tree everything below the path is taken from. */
  readonly subtree?: number;
}

export interface Unsettled {
  readonly changed: readonly number[];
  readonly driver: DriverName | undefined;
  readonly conflict: ConflictReason;
}

/** One path in every tree. */
export interface Place {
  readonly path: string;
  readonly ancestor: TreeNode;
  readonly sides: readonly TreeNode[];
}

export interface Settling {
  readonly drivers: readonly MergeDriver[];
  readonly context: MergeContext;
  readonly rules: RuleLookup;
  /** Paths that a package database gives to one side. */
  readonly owners: ReadonlyMap<string, number>;
}

/** Decides what the merged tree has at a path. */
export async function settlePath(place: Place, settling: Settling): Promise<Settlement | Unsettled> {
  const { signal } = settling.context;
  const changed: number[] = [];
  for (const [side, node] of place.sides.entries()) {
    if (!(await isSame(place.ancestor, node, signal))) changed.push(side);
  }
  const owner = settling.owners.get(place.path);
  if (owner !== undefined) return { ...take(place, owner), changed, driver: changed.length > 1 ? 'dpkg' : undefined };
  const [first] = changed;
  if (first === undefined)
    return { desired: { type: 'node', side: -1, at: place.ancestor }, changed, driver: undefined };
  const agreed = await all(changed.slice(1), side => isSame(place.sides[first]!, place.sides[side]!, signal));
  // The uppermost of those that agree is what the plain stack most likely shows: there is nothing to compare then.
  if (agreed) return { ...take(place, changed.at(-1)!), changed, driver: undefined };
  return settleConflict(place, changed, settling);
}

/** Takes a side's node, or that it has none. */
function take(place: Place, side: number): { readonly desired: Desired } {
  const at = place.sides[side]!;
  return { desired: at.node === undefined ? { type: 'absent' } : { type: 'node', side, at } };
}

async function settleConflict(
  place: Place,
  changed: readonly number[],
  settling: Settling,
): Promise<Settlement | Unsettled> {
  const { drivers, context, rules } = settling;
  const rule = rules(place.path, changed);
  const claiming = drivers.find(driver => driver.claims(place.path));
  const byRule = settleByRule(place, changed, rule, claiming);
  if (byRule) return byRule;
  const versions = versionsOf(place, changed, rule, context);
  const like = rule === undefined || rule === 'newer' ? await onlyPayload(place, changed, context.signal) : undefined;
  if (like !== undefined) return withAttributes(place, like, changed, versions, 'attributes', undefined);
  const driver = pickDriver(place, changed, rule, claiming);
  if (driver === undefined) {
    return { changed, driver: undefined, conflict: { message: clashOf(versions), remedies: ['last', 'first'] } };
  }
  const outcome = await driver.merge(versions, context);
  return applyOutcome(place, changed, versions, driver.name, outcome);
}

function settleByRule(
  place: Place,
  changed: readonly number[],
  rule: ConflictResolution | undefined,
  claiming: MergeDriver | undefined,
): Settlement | Unsettled | undefined {
  if (rule === 'error') {
    const message = 'a rule of the recipe asks for an error';
    return { changed, driver: 'rule', conflict: { message, remedies: ['last', 'first'] } };
  }
  const chosen =
    rule === 'first'
      ? changed[0]
      : rule === 'last'
        ? changed.at(-1)
        : rule === 'newer' && claiming === undefined
          ? youngest(place, changed)
          : undefined;
  if (chosen === undefined) return undefined;
  const isTree = [place.ancestor, ...changed.map(side => place.sides[side]!)].some(
    ({ node }) => node?.inode.type === 'directory',
  );
  const types = new Set(changed.map(side => place.sides[side]!.node?.inode.type));
  // A directory against something else is one thing: whoever wins, wins with all that is below.
  return { ...take(place, chosen), changed, driver: 'rule', ...(isTree && types.size > 1 ? { subtree: chosen } : {}) };
}

function youngest(place: Place, changed: readonly number[]): number {
  const time = (side: number) => place.sides[side]!.node?.inode.mtime ?? -1;
  return changed.reduce((best, side) => (time(side) >= time(best) ? side : best));
}

/**
 * The side whose content, link target or device counts where at most one differs from the ancestor's, so that only
 * attributes are left to merge; `undefined` where there is more to settle.
 */
async function onlyPayload(
  place: Place,
  changed: readonly number[],
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const changers: number[] = [];
  for (const side of changed) {
    const node = place.sides[side]!;
    if (node.node === undefined) return undefined;
    if (!(await hasSamePayload(place.ancestor, node, signal))) changers.push(side);
  }
  const [first, ...others] = changers;
  for (const side of others)
    if (!(await hasSamePayload(place.sides[first!]!, place.sides[side]!, signal))) return undefined;
  return first ?? changed.at(-1);
}

const ATTRIBUTES: ReadonlySet<string> = new Set(['mode', 'owner', 'xattrs']);

async function hasSamePayload(a: TreeNode, b: TreeNode, signal: AbortSignal | undefined): Promise<boolean> {
  return (await differences(a, b, signal))?.every(aspect => ATTRIBUTES.has(aspect)) === true;
}

function pickDriver(
  place: Place,
  changed: readonly number[],
  rule: ConflictResolution | undefined,
  claiming: MergeDriver | undefined,
): MergeDriver | undefined {
  if (rule === 'merge') return text;
  if (rule === 'regenerate') return generated;
  if (claiming) return claiming;
  return changed.every(side => place.sides[side]!.node?.inode.type === 'file') ? text : undefined;
}

function versionsOf(
  place: Place,
  changed: readonly number[],
  wish: ConflictResolution | undefined,
  { sides, signal }: MergeContext,
): PathVersions {
  const side = (index: number): SideVersion => ({
    ...versionOf(place.sides[index]!, signal),
    name: sides[index]!.name,
    side: index,
  });
  return { path: place.path, ancestor: versionOf(place.ancestor, signal), sides: changed.map(side), wish };
}

function clashOf(versions: PathVersions): string {
  const parts = versions.sides.map(({ name, node }) => {
    if (node === undefined) return `${name} deleted it`;
    if (node.inode.type === 'symlink') return `${name} has a symlink to ${shown(node.inode.target)}`;
    return `${name} has a ${node.inode.type}`;
  });
  return parts.join(', ');
}

async function applyOutcome(
  place: Place,
  changed: readonly number[],
  versions: PathVersions,
  driver: DriverName,
  outcome: Outcome,
): Promise<Settlement | Unsettled> {
  switch (outcome.type) {
    case 'conflict':
      return { changed, driver, conflict: outcome.conflict };
    case 'take':
      return { ...take(place, outcome.side), changed, driver };
    case 'drop':
      return { desired: { type: 'absent' }, changed, driver };
    case 'regenerate':
      return { desired: outcome, changed, driver };
    case 'content':
      return withAttributes(place, presentSide(place, changed), changed, versions, driver, outcome.bytes);
  }
}

/** The last side that has something; the merged file is like it in what is not merged. */
function presentSide(place: Place, changed: readonly number[]): number {
  return changed.findLast(side => place.sides[side]!.node !== undefined) ?? changed[0]!;
}

async function withAttributes(
  place: Place,
  like: number,
  changed: readonly number[],
  versions: PathVersions,
  driver: DriverName,
  bytes: Uint8Array | undefined,
): Promise<Settlement | Unsettled> {
  const merged = await mergeAttributes(versions);
  if ('conflict' in merged) return { changed, driver: 'attributes', conflict: merged.conflict };
  const { attributes } = merged;
  return { desired: { type: 'merged', side: like, at: place.sides[like]!, bytes, attributes }, changed, driver };
}

async function all<T>(items: readonly T[], check: (item: T) => Promise<boolean>): Promise<boolean> {
  for (const item of items) if (!(await check(item))) return false;
  return true;
}

function shown(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
