import { readFile } from './files.ts';

/** Ids of the initial user namespace that a user may map into namespaces of its own. */
export interface IdRange {
  readonly first: number;
  readonly count: number;
}

export interface SubordinateIds {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

const MAX_ID = 0xffff_fffe;

/** The ranges of a user in /etc/subuid and /etc/subgid (subuid(5)); lines that are none are passed over. */
export async function readSubordinateIds(user: {
  readonly uid: number;
  readonly userName: string | undefined;
}): Promise<SubordinateIds> {
  const read = async (file: string) => parseRanges(await readFile(file, 'utf8').catch(() => ''), user);
  return { uids: await read('/etc/subuid'), gids: await read('/etc/subgid') };
}

function parseRanges(text: string, user: { readonly uid: number; readonly userName: string | undefined }): IdRange[] {
  const ranges: IdRange[] = [];
  for (const line of text.split('\n')) {
    const [owner = '', first = '', count = ''] = line.split(':');
    if (owner === '' || (owner !== user.userName && owner !== String(user.uid))) continue;
    if (!/^\d{1,10}$/.test(first) || !/^\d{1,10}$/.test(count)) continue;
    const range = { first: Number(first), count: Number(count) };
    if (range.count > 0 && range.first + range.count - 1 <= MAX_ID) ranges.push(range);
  }
  return ranges;
}
