import type { MergeContext, MergeDriver, Outcome, PathVersions } from '../driver.ts';
import { conflict, isConflict, readContents, shown, takeLast, textOutcome } from '../file-versions.ts';
import { isAnyRenumbered, type AccountIds } from './account-ids.ts';
import { mergeAccounts } from './accounts-merge.ts';
import { mergeSubordinateIds } from './accounts-ranges.ts';
import type { AccountsFile, AccountsText } from './accounts-records.ts';
import { pathsOfRenumbered } from './owned-files.ts';
import { renumberAccounts, renumberRanges } from './renumber-text.ts';

const PATHS = /^etc\/(?:(passwd|group|shadow|gshadow)|(subuid|subgid))(-?)$/;
/** Those that hold ids. */
const NUMBERED = ['passwd', 'group', 'subuid', 'subgid'].flatMap(file => [`etc/${file}`, `etc/${file}-`]);
const MAX_BYTES = 1024 * 1024;

/**
 * passwd(5), group(5), shadow(5), gshadow(5), subuid(5) and subgid(5), record by record and field by field, with the ids
 * that the merge has settled; the files of accounts that got others are looked at. Other fields that sides changed
 * differently are a conflict. The backups that editing tools leave (`passwd-`) are merged likewise; where that fails, the
 * last side's is taken, and none where a side has deleted it.
 */
export const accounts: MergeDriver = {
  name: 'accounts',
  claims: path => PATHS.test(path),
  async survey({ accounts: ids, sides, signal }) {
    const visited = new Set<string>();
    if (ids === undefined || !isAnyRenumbered(ids)) return { owners: new Map(), conflicts: [] };
    for (const { tree } of sides) if (tree) await pathsOfRenumbered(tree, visited, signal);
    return { owners: new Map(), conflicts: [], joint: new Set(NUMBERED), visited };
  },
  async merge(versions, context) {
    const match = PATHS.exec(versions.path);
    const isBackup = match?.[3] === '-';
    const outcome = await mergeFile(versions, match?.[1] as AccountsFile | undefined, context);
    if (isBackup && outcome.type === 'conflict') {
      return versions.sides.some(({ node }) => node === undefined) ? { type: 'drop' } : takeLast(versions);
    }
    return outcome;
  },
};

async function mergeFile(
  versions: PathVersions,
  file: AccountsFile | undefined,
  { accounts: ids }: MergeContext,
): Promise<Outcome> {
  const contents = await readContents(versions, MAX_BYTES);
  if (isConflict(contents)) return { ...contents, conflict: { ...contents.conflict, remedies: [] } };
  const sides: AccountsText[] = [];
  for (const [index, { name, side, bytes }] of contents.sides.entries()) {
    if (bytes === undefined) {
      return conflict(`${name} deleted /${shown(versions.path)}, which others changed`, { remedies: [] });
    }
    const text = bytes.toString('latin1');
    const { mtime } = versions.sides[index]!.node!.inode;
    sides.push({ name, text: ids === undefined ? text : renumbered(text, versions.path, side, ids), mtime });
  }
  const ancestor = contents.ancestor?.toString('latin1') ?? '';
  const { path, wish } = versions;
  const merged =
    file === undefined
      ? mergeSubordinateIds(path, ancestor, sides)
      : mergeAccounts({ path, file, ancestor, sides, newer: wish === 'newer' });
  return typeof merged === 'string' ? textOutcome(merged) : merged;
}

function renumbered(text: string, path: string, side: number, ids: AccountIds): string {
  const [, file, ranges] = PATHS.exec(path)!;
  return ranges === undefined
    ? renumberAccounts(text, file as AccountsFile, side, ids)
    : renumberRanges(text, ranges as 'subuid' | 'subgid', side, ids);
}
