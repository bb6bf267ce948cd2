import { shownByteString } from '../core/host-text.ts';
import type { ConflictResolution } from '../recipe/model.ts';
import type { RuleLookup } from './conflict-rules.ts';
import type { DriverName, MergeContext, MergeDriver, Outcome, PathVersions, SideVersion } from './driver.ts';
import { generated } from './generated/generated.ts';
import { text } from './text/text.ts';
import { mergeAttributes } from './merge-attributes.ts';
import type { Relocation } from './owned-paths.ts';
import type { Desired, Owner, Place, Settlement, Unsettled } from './settlement.ts';
import { differences, isDirectory, isSame, versionOf, type TreeNode } from './tree-versions.ts';

export interface Settling {
  readonly drivers: readonly MergeDriver[];
  readonly context: MergeContext;
  readonly rules: RuleLookup;
  readonly owners: ReadonlyMap<string, Owner>;
  readonly joint: ReadonlySet<string>;
  readonly elsewhere: ReadonlyMap<string, Relocation>;
}

/** Decides what the merged tree has at a path, regardless of what lies below. */
export async function settlePath(place: Place, settling: Settling): Promise<Settlement | Unsettled> {
  const { signal } = settling.context;
  const changed: number[] = [];
  const unchanged: TreeNode[] = [];
  for (const [side, node] of place.sides) {
    if (await isSame(place.ancestor, node, signal)) unchanged.push(node);
    else changed.push(side);
  }
  // Looking a long path up costs its length, also in an empty map.
  const owner = settling.owners.size === 0 ? undefined : settling.owners.get(place.path);
  if (owner !== undefined) {
    return { desired: nodeOf(place, owner.side), changed, driver: changed.length > 1 ? owner.driver : undefined };
  }
  const [first] = changed;
  if (first === undefined) return { desired: nodeOf(place, -1), changed, driver: undefined, same: unchanged };
  const same: TreeNode[] = [];
  for (const side of changed.slice(1)) {
    const node = place.sides.get(side)!;
    if (!(await isSame(place.sides.get(first)!, node, signal))) return settleClash(place, changed, settling);
    same.push(node);
  }
  const jointly = settling.joint.has(place.path) ? await settleJointly(place, changed, settling) : undefined;
  return jointly ?? { desired: nodeOf(place, first), changed, driver: undefined, same };
}

/** A file that sides changed alike, and that its driver would have otherwise nevertheless. */
async function settleJointly(
  place: Place,
  changed: readonly number[],
  { drivers, context, rules }: Settling,
): Promise<Settlement | Unsettled | undefined> {
  const rule = rules(place.path, changed);
  const claiming = drivers.find(driver => driver.claims(place.path));
  const areFiles = changed.every(side => place.sides.get(side)!.node?.inode.type === 'file');
  if (claiming === undefined || !areFiles || rule === 'first' || rule === 'last') return undefined;
  const versions = versionsOf(place, changed, rule, context);
  const outcome = await claiming.merge(versions, context);
  const clash = { place, changed, versions, driver: claiming.name };
  return outcome.type === 'content' ? applyOutcome(clash, outcome) : undefined;
}

/** Settles a directory that is gone in the result although something below it is not. */
export async function settleLostDirectory(
  place: Place,
  involved: readonly number[],
  settling: Settling,
): Promise<Settlement | Unsettled | undefined> {
  const { drivers, context, rules } = settling;
  const rule = rules(place.path, involved);
  const claiming = drivers.find(driver => driver.claims(place.path));
  const byRule = settleByRule(place, involved, rule, claiming);
  if (byRule || claiming === undefined || involved.length < 2) return byRule;
  const outcome = await claiming.merge(versionsOf(place, involved, rule, context), context);
  if (outcome.type === 'conflict') return { changed: involved, driver: claiming.name, conflict: outcome.conflict };
  if (outcome.type !== 'take' && outcome.type !== 'drop') return undefined;
  return applyOutcome({ place, changed: involved, versions: undefined, driver: claiming.name }, outcome);
}

/** What a side has, which is what the ancestor has where the side has not changed it. */
function nodeOf(place: Place, side: number): Desired {
  const own = place.sides.get(side);
  const at = own ?? place.ancestor;
  return at.node === undefined ? { type: 'absent' } : { type: 'node', side: own ? side : -1, at };
}

async function settleClash(
  place: Place,
  changed: readonly number[],
  settling: Settling,
): Promise<Settlement | Unsettled> {
  const { drivers, context, rules, joint } = settling;
  const asked = rules(place.path, changed);
  // It says of accounts what is done anyway, and nothing of anything else.
  const rule = asked === 'renumber' ? undefined : asked;
  const claiming = drivers.find(driver => driver.claims(place.path));
  const byRule = settleByRule(place, changed, rule, claiming);
  if (byRule) return byRule;
  const versions = versionsOf(place, changed, rule, context);
  const isPlain = (rule === undefined || rule === 'newer') && !joint.has(place.path);
  const like = isPlain ? await onlyPayload(place, changed, context.signal) : undefined;
  if (like !== undefined) {
    const merged = await withAttributes(place, like, versions, { driver: 'attributes', bytes: undefined });
    if ('desired' in merged || claiming === undefined) return merged;
  }
  const driver = pickDriver(place, changed, rule, claiming);
  if (driver === undefined) {
    return { changed, driver: undefined, conflict: { message: clashOf(versions, rule), remedies: ['last', 'first'] } };
  }
  const outcome = await driver.merge(versions, context);
  return applyOutcome({ place, changed, versions, driver: driver.name }, outcome);
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
          ? youngestFile(place, changed)
          : undefined;
  return chosen === undefined ? undefined : takeSide(place, chosen, changed, 'rule');
}

/** A directory against something else is one thing: whoever wins, wins with all that is below. */
function takeSide(place: Place, side: number, changed: readonly number[], driver: DriverName): Settlement {
  const nodes = changed.map(one => place.sides.get(one) ?? place.ancestor);
  const whole = new Set(nodes.map(isDirectory)).size > 1;
  return { desired: nodeOf(place, side), changed, driver, whole };
}

/** `undefined` where not all are ordinary files, or their times tell nothing. */
function youngestFile(place: Place, changed: readonly number[]): number | undefined {
  const times = changed.map(side => {
    const inode = place.sides.get(side)?.node?.inode;
    return inode?.type === 'file' ? inode.mtime : undefined;
  });
  if (times.includes(undefined)) return undefined;
  const latest = Math.max(...times.map(time => time ?? 0));
  const youngest = changed.filter((_, index) => times[index] === latest);
  return youngest.length === 1 ? youngest[0] : undefined;
}

/**
 * The side whose content, link target or device counts where no two differ in it from the ancestor and from each other, so
 * that only attributes are left to merge; `undefined` where there is more to settle.
 */
async function onlyPayload(
  place: Place,
  changed: readonly number[],
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const types = new Set(changed.map(side => place.sides.get(side)!.node?.inode.type));
  if (types.size > 1 || types.has(undefined)) return undefined;
  const changers: number[] = [];
  for (const side of changed) {
    const node = place.sides.get(side)!;
    if (!(await hasSamePayload(place.ancestor, node, signal))) changers.push(side);
  }
  const [first, ...others] = changers;
  for (const side of others) {
    if (!(await hasSamePayload(place.sides.get(first!)!, place.sides.get(side)!, signal))) return undefined;
  }
  return first ?? newestOf(place, changed);
}

const ATTRIBUTES: ReadonlySet<string> = new Set(['mode', 'owner', 'xattrs']);

async function hasSamePayload(a: TreeNode, b: TreeNode, signal: AbortSignal | undefined): Promise<boolean> {
  return (await differences(a, b, signal))?.every(aspect => ATTRIBUTES.has(aspect)) === true;
}

/** The side with the latest time of those that have something. */
function newestOf(place: Place, changed: readonly number[]): number {
  const time = (side: number) => place.sides.get(side)?.node?.inode.mtime ?? -1;
  return changed.reduce((best, side) => (time(side) >= time(best) ? side : best));
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
  const { node: before } = place.ancestor;
  const files = [before?.inode.type ?? 'file', ...changed.map(side => place.sides.get(side)!.node?.inode.type)];
  return rule === undefined && files.every(type => type === 'file') ? text : undefined;
}

function versionsOf(
  place: Place,
  changed: readonly number[],
  wish: ConflictResolution | undefined,
  { sides, signal }: MergeContext,
): PathVersions {
  const side = (index: number): SideVersion => ({
    ...versionOf(place.sides.get(index) ?? place.ancestor, signal),
    name: sides[index]!.name,
    side: index,
  });
  return { path: place.path, ancestor: versionOf(place.ancestor, signal), sides: changed.map(side), wish };
}

function clashOf({ sides, ancestor }: PathVersions, rule: ConflictResolution | undefined): string {
  const parts = sides.map(({ name, node }) => {
    if (node === undefined) return `${name} deleted it`;
    const { inode } = node;
    const verb = inode.type === ancestor.node?.inode.type ? 'changed the' : 'has a';
    return `${name} ${verb} ${inode.type}${inode.type === 'symlink' ? ` to ${shown(inode.target)}` : ''}`;
  });
  const files = sides.every(({ node }) => node?.inode.type === 'file');
  return `${parts.join(', ')}${rule === 'newer' && files ? ', at the same time' : ''}`;
}

/** What a driver was given to settle. */
interface Clash {
  readonly place: Place;
  readonly changed: readonly number[];
  /** `undefined` for a directory: no driver makes one. */
  readonly versions: PathVersions | undefined;
  readonly driver: DriverName;
}

async function applyOutcome(
  { place, changed, versions, driver }: Clash,
  outcome: Outcome,
): Promise<Settlement | Unsettled> {
  switch (outcome.type) {
    case 'conflict':
      return { changed, driver, conflict: outcome.conflict };
    case 'take':
      return takeSide(place, outcome.side, changed, driver);
    case 'drop':
      return { desired: { type: 'absent' }, changed, driver, whole: true };
    case 'regenerate':
      return { desired: outcome, changed, driver };
    case 'content': {
      const files = changed.filter(side => place.sides.get(side)!.node?.inode.type === 'file');
      if (files.length === 0 || !versions) throw new Error(`the driver ${driver} makes a file where no side has one`);
      return withAttributes(place, newestOf(place, files), versions, { driver, bytes: outcome.bytes });
    }
  }
}

async function withAttributes(
  place: Place,
  like: number,
  versions: PathVersions,
  { driver, bytes }: { readonly driver: DriverName; readonly bytes: Uint8Array | undefined },
): Promise<Settlement | Unsettled> {
  const changed = versions.sides.map(({ side }) => side);
  const merged = await mergeAttributes(versions);
  if ('conflict' in merged) return { changed, driver: 'attributes', conflict: merged.conflict };
  const { attributes } = merged;
  return { desired: { type: 'merged', side: like, at: place.sides.get(like)!, bytes, attributes }, changed, driver };
}

function shown(bytes: string): string {
  return shownByteString(bytes);
}
