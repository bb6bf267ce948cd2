import { mapId } from '../../squashfs/owner-map.ts';
import { joinLines, splitLines } from '../text/three-way.ts';
import type { AccountIds } from './account-ids.ts';
import { ACCOUNTS_FILES, parseAccounts, type AccountsFile } from './accounts-records.ts';
import { parseRange } from './subordinate-ids.ts';

/** A side's passwd(5) or group(5), a backup of it among them, with the ids of the merged tree. */
export function renumberAccounts(text: string, file: AccountsFile, side: number, ids: AccountIds): string {
  const { idField } = ACCOUNTS_FILES[file];
  const { user, group } = ids.settled;
  const settled = file === 'passwd' ? user : group;
  if (idField === undefined) return text;
  const own = parseAccounts(text, file).lines;
  const lines = splitLines(text).map(line => {
    const account = own.get(`@${line.split(':', 1)[0]}`);
    if (account?.fields === undefined || account.text !== line) return line;
    const fields = [...account.fields];
    const id = settled?.get(fields[0]!);
    if (id !== undefined && isNumber(fields[idField]!)) fields[idField] = String(id);
    if (file === 'passwd' && isNumber(fields[PRIMARY_GROUP]!)) {
      fields[PRIMARY_GROUP] = String(mapId(ids.owners[side]!.gids, Number(fields[PRIMARY_GROUP])));
    }
    return fields.join(':');
  });
  return sameEnd(text, lines);
}

const PRIMARY_GROUP = 3;

/** A side's subuid(5) or subgid(5) with the ranges of the merged tree; users that go by number have the number they get. */
export function renumberRanges(text: string, file: 'subuid' | 'subgid', side: number, ids: AccountIds): string {
  const moved = ids.moved[file === 'subuid' ? 'user' : 'group'];
  const lines = splitLines(text).map(line => {
    const range = parseRange(line);
    if (typeof range !== 'object') return line;
    const { owner, start, end } = range;
    const to = moved.find(each => each.side === side && each.from.line === line)?.to ?? start;
    const user = isNumber(owner) ? String(mapId(ids.owners[side]!.uids, Number(owner))) : owner;
    return to === start && user === owner ? line : `${user}:${to}:${end - start}`;
  });
  return sameEnd(text, lines);
}

function isNumber(text: string): boolean {
  return /^\d{1,10}$/.test(text);
}

function sameEnd(text: string, lines: readonly string[]): string {
  return text.endsWith('\n') || text === '' ? joinLines(lines) : lines.join('\n');
}
