import type { MergeDriver, Outcome, PathVersions } from '../driver.ts';
import { mergeAccounts } from './accounts-merge.ts';
import { mergeSubordinateIds } from './accounts-ranges.ts';
import type { AccountsFile, AccountsText } from './accounts-records.ts';
import { conflict, isConflict, readContents, shown, takeLast, textOutcome } from '../file-versions.ts';

const PATHS = /^etc\/(?:(passwd|group|shadow|gshadow)|(subuid|subgid))(-?)$/;
const MAX_BYTES = 1024 * 1024;

/**
 * passwd(5), group(5), shadow(5), gshadow(5), subuid(5) and subgid(5), record by record and field by field. One name with
 * two ids, or one id with two names that no side had together, is a conflict. The backups that editing tools leave
 * (`passwd-`) are merged likewise; where that fails, the last side's is taken, and none where a side has deleted it.
 */
export const accounts: MergeDriver = {
  name: 'accounts',
  claims: path => PATHS.test(path),
  async merge(versions) {
    const match = PATHS.exec(versions.path);
    const isBackup = match?.[3] === '-';
    const outcome = await mergeFile(versions, match?.[1] as AccountsFile | undefined);
    if (isBackup && outcome.type === 'conflict') {
      return versions.sides.some(({ node }) => node === undefined) ? { type: 'drop' } : takeLast(versions);
    }
    return outcome;
  },
};

async function mergeFile(versions: PathVersions, file: AccountsFile | undefined): Promise<Outcome> {
  const contents = await readContents(versions, MAX_BYTES);
  if (isConflict(contents)) return contents;
  const sides: AccountsText[] = [];
  for (const { name, bytes } of contents.sides) {
    if (bytes === undefined) return conflict(`${name} deleted /${shown(versions.path)}, which others changed`);
    sides.push({ name, text: bytes.toString('latin1') });
  }
  const ancestor = contents.ancestor?.toString('latin1') ?? '';
  const merged =
    file === undefined
      ? mergeSubordinateIds(versions.path, ancestor, sides)
      : mergeAccounts({ path: versions.path, file, ancestor, sides });
  return typeof merged === 'string' ? textOutcome(merged) : merged;
}
