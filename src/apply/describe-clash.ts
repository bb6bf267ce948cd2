import { shownByteString } from '../core/host-text.ts';
import type { MergeSide } from './merge-problem.ts';
import type { MergeConflict } from './merge-result.ts';
import type { Place, Unsettled } from './settlement.ts';
import { differences, isDirectory, isSameInode, type TreeNode } from './tree-versions.ts';

/** Of a file, to find out whether its content differs besides what is known to. */
const MOST_COMPARED_BYTES = 1024 * 1024;

/** A conflict as it is reported, with what each side did. */
export async function conflictAt(
  place: Place,
  { changed, driver, conflict }: Unsettled,
  sides: readonly MergeSide[],
  signal?: AbortSignal,
): Promise<MergeConflict> {
  const { path, ancestor } = place;
  const did: { name: string; did: string }[] = [];
  for (const side of changed) {
    did.push({
      name: sides[side]!.name,
      did: await describeChange(ancestor, place.sides.get(side) ?? ancestor, signal),
    });
  }
  return { ...conflict, path, driver, sides: did };
}

/** One side deleted or replaced the directory in which another has put something. */
export function lostDirectory(
  place: Place,
  involved: readonly number[],
  example: string,
  sides: readonly MergeSide[],
): Unsettled {
  const has = (side: number) => isDirectory(place.sides.get(side) ?? place.ancestor);
  const names = (of: readonly number[]) => of.map(side => sides[side]!.name).join(' and ') || 'the merge';
  const lost = involved.filter(side => !has(side));
  const deleted = lost.every(side => place.sides.get(side)?.node === undefined);
  const message =
    `${names(lost)} ${deleted ? 'deleted' : 'replaced'} the directory in which ` +
    `${names(involved.filter(has))} changed /${shownByteString(example)}`;
  return { changed: involved, driver: undefined, conflict: { message, remedies: ['last', 'first'] } };
}

async function describeChange(before: TreeNode, after: TreeNode, signal: AbortSignal | undefined): Promise<string> {
  const [old, now] = [before.node?.inode, after.node?.inode];
  if (now === undefined) return old === undefined ? 'has nothing there' : 'deleted it';
  if (old === undefined) return `added a ${now.type}`;
  if (old.type !== now.type) return `replaced the ${old.type} by a ${now.type}`;
  if (isSameInode(before, after)) return now.type === 'directory' ? 'kept it' : 'left it as it was';
  const done: string[] = [];
  if (old.mode !== now.mode) done.push(`the mode from ${octal(old.mode)} to ${octal(now.mode)}`);
  if (old.uid !== now.uid || old.gid !== now.gid) {
    done.push(`the owner from ${old.uid}:${old.gid} to ${now.uid}:${now.gid}`);
  }
  if (old.type === 'file' && (old.size !== now.size || now.size > MOST_COMPARED_BYTES)) done.push('the content');
  else {
    const aspects = (await differences(before, after, signal)) ?? [];
    for (const aspect of ['content', 'target', 'device'] as const)
      if (aspects.includes(aspect)) done.push(`the ${aspect}`);
    if (aspects.includes('xattrs')) done.push('extended attributes');
  }
  if (done.length === 0) return now.type === 'directory' ? 'kept it' : 'left it as it was';
  return `changed ${done.join(', ')}`;
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}
