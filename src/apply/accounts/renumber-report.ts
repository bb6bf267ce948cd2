import { formatBytes } from '../../core/bytes.ts';
import { StkError } from '../../core/errors.ts';
import type { RenumberedAccount } from '../../oci/layer-annotations.ts';
import { shown } from '../file-versions.ts';
import type { MergeProblem } from '../merge-problem.ts';
import type { MergeEntry, RenumberReport } from '../merge-result.ts';
import type { AccountIds } from './account-ids.ts';

export const NOTHING_RENUMBERED: RenumberReport = { accounts: [], paths: 0, bytes: 0 };

/** Contents that are copied into a merge layer for nothing but their owners, unless somebody allows more. */
export const RENUMBER_LIMIT_BYTES = 64 * 1024 * 1024;

interface Counted {
  readonly kind: RenumberedAccount['kind'];
  readonly name: string;
  readonly side: number;
  readonly from: number;
  readonly to: number;
  readonly count: number;
  paths: number;
  bytes: number;
}

/** What settled ids come to in the entries of a merge. */
export function renumberReport(
  { sides }: MergeProblem,
  { renumbered, moved }: AccountIds,
  entries: readonly MergeEntry[],
): RenumberReport {
  if (renumbered.length + moved.user.length + moved.group.length === 0) return NOTHING_RENUMBERED;
  const range = (kind: 'subuid' | 'subgid') =>
    moved[kind === 'subuid' ? 'user' : 'group'].map(({ side, from, to }): Counted => {
      const { owner: name, start, end } = from;
      return { kind, name, side, from: start, to, count: end - start, paths: 0, bytes: 0 };
    });
  const counted: readonly Counted[] = [
    ...renumbered.map((each): Counted => ({ ...each, count: 1, paths: 0, bytes: 0 })),
    ...range('subuid'),
    ...range('subgid'),
  ];
  const find = (side: number, kinds: readonly RenumberedAccount['kind'][], id: number) =>
    counted.find(
      each => each.side === side && kinds.includes(each.kind) && id >= each.from && id < each.from + each.count,
    );
  const total = { paths: 0, bytes: 0 };
  const seen = new Set<string>();
  for (const entry of entries) {
    if (entry.type === 'delete') continue;
    const { side, node } = entry.type === 'node' ? entry : entry.like;
    if (node.stored === undefined) continue;
    const inode = `${side}:${node.layer}:${node.inode.ref}`;
    const bytes = node.inode.type === 'file' && !seen.has(inode) ? node.inode.size : 0;
    seen.add(inode);
    const owners = [find(side, ['user', 'subuid'], node.stored.uid), find(side, ['group', 'subgid'], node.stored.gid)];
    for (const each of [total, ...owners]) {
      if (each === undefined) continue;
      each.paths++;
      each.bytes += bytes;
    }
  }
  return {
    accounts: counted.map(({ kind, name, side, from, to, paths, bytes }) => ({
      ...{ kind, name: shown(name), image: sides[side]!.name, from, to, paths, bytes },
    })),
    ...total,
  };
}

/** Throws `conflict` where a merge layer would hold more for the sake of owners than is allowed. */
export function assertRenumberable(report: RenumberReport, image: string, limitBytes = RENUMBER_LIMIT_BYTES): void {
  if (report.bytes <= limitBytes) return;
  const largest = report.accounts.toSorted((a, b) => b.bytes - a.bytes).slice(0, 5);
  const each = largest.map(
    ({ kind, name, image: of, from, to, paths, bytes }) =>
      `  ${kind} ${name} of ${of}: ${from} becomes ${to}, ${paths} files, ${formatBytes(bytes)}`,
  );
  throw new StkError(
    'conflict',
    `${image}: accounts of applied images have the same ids, and to give their files other owners ` +
      `${formatBytes(report.bytes)} would be copied, more than ${formatBytes(limitBytes)}\n${each.join('\n')}`,
    {
      hint:
        'make the accounts in the common base, or give people ids of their own (useradd --uid); daemons get theirs by ' +
        'name wherever an image is built with stable ids, the default; or allow the copy with --renumber-limit SIZE',
      facts: { image, bytes: report.bytes, limitBytes, accounts: report.accounts.length },
    },
  );
}
