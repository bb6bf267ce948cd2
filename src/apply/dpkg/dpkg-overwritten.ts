import { imagePath } from '../../core/paths.ts';
import type { ConflictReason, MergeContext } from '../driver.ts';
import { conflictReason, shown } from '../file-versions.ts';
import { isSame } from '../tree-versions.ts';
import { isInstalled, type PackageDatabase, type PackageRecord } from './dpkg-database.ts';
import { mergedDiversions } from './dpkg-diversions.ts';
import { listOf } from './dpkg-files.ts';
import type { PackageSide } from './dpkg-databases.ts';
import { replaces } from './dpkg-relations.ts';

/** A file of a package that came with a side. */
interface Brought {
  readonly from: PackageSide;
  readonly record: PackageRecord;
}

export interface Overwritten {
  /** Files of a package that replaces the other's, with the side that has them. */
  readonly owners: ReadonlyMap<string, number>;
  readonly conflicts: readonly {
    readonly record: PackageRecord;
    readonly involved: readonly number[];
    readonly reason: ConflictReason;
  }[];
}

/**
 * Files that different packages of different sides have and that differ. dpkg lets a package take over another's where it
 * says that it replaces it, in whichever order they come, and refuses to overwrite otherwise.
 */
export async function overwrittenFiles(
  before: PackageDatabase,
  sides: readonly PackageSide[],
  context: MergeContext,
): Promise<Overwritten> {
  const diversions = await mergedDiversions(context);
  const first = new Map<string, Brought>();
  const owners = new Map<string, number>();
  const clashes = new Map<string, { readonly one: Brought; readonly other: Brought; readonly paths: string[] }>();
  for (const from of sides) {
    for (const [key, record] of from.records) {
      if (!isInstalled(record) || before.get(key)?.stanza === record.stanza) continue;
      for (const path of await listOf(from.tree, record, context.signal)) {
        const one = first.get(path);
        if (one === undefined) first.set(path, { from, record });
        if (one === undefined || one.record.name === record.name || one.from === from || diversions.has(path)) continue;
        const other = { from, record };
        if (!(await differ(path, [one, other], context))) continue;
        const [mine, theirs] = [replaces(record, one.record), replaces(one.record, record)];
        if (mine || theirs) {
          owners.set(await placeOf(path, one, context), (mine ? other : one).from.side);
          continue;
        }
        const pair = `${one.record.name} ${record.name} ${one.from.side} ${from.side}`;
        const known = clashes.get(pair);
        if (known) known.paths.push(path);
        else clashes.set(pair, { one, other, paths: [path] });
      }
    }
  }
  const conflicts = [...clashes.values()].map(({ one, other, paths }) => {
    const named = ({ record, from }: Brought) => `${record.name} ${record.version} of ${from.name}`;
    const more = paths.length === 1 ? '' : ` and ${paths.length - 1} more`;
    const message =
      `${named(one)} and ${named(other)} both have ${shown(paths[0]!)}${more}, and neither replaces the other: ` +
      'only one of them can be installed, so apply one of these images alone';
    const reason = { ...conflictReason(message, { remedies: [] }), excludes: true as const };
    return { record: other.record, involved: [one.from.side, other.from.side], reason };
  });
  return { owners, conflicts };
}

async function differ(path: string, both: readonly [Brought, Brought], context: MergeContext): Promise<boolean> {
  const nodes = [];
  for (const { from } of both) {
    const place = await from.tree.resolve(parentOf(path), context.signal);
    const name = path.slice(path.lastIndexOf('/') + 1);
    const node = place && (await from.tree.child(place.node, name, context.signal));
    nodes.push({ tree: from.tree, node });
  }
  const [one, other] = nodes;
  const areThere = nodes.every(({ node }) => node !== undefined && node.inode.type !== 'directory');
  return areThere && !(await isSame(one!, other!, context.signal));
}

async function placeOf(path: string, { from }: Brought, context: MergeContext): Promise<string> {
  const parent = await from.tree.resolve(parentOf(path), context.signal);
  const name = path.slice(path.lastIndexOf('/') + 1);
  return parent === undefined || parent.path === '' ? imagePath(path) : `${parent.path}/${name}`;
}

function parentOf(path: string): string {
  return imagePath(path.slice(0, path.lastIndexOf('/')));
}
