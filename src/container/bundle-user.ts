import { StkError } from '../core/errors.ts';
import { byteString, textOfByteString } from '../core/host-text.ts';

/** Who a container's process is, as `process.user` of the runtime specification has it. */
export interface ProcessUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

/** The image's own account files as latin1 text; empty where it has none. */
export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
}

interface Entry {
  readonly name: string;
  readonly fields: readonly string[];
}

const MAX_ID = 0xffff_fffe;

/**
 * Resolves `User` of an image's configuration (image-spec, config.md): `USER`, `USER:GROUP`, each a name or a number,
 * nothing being root. A group that is given stands alone; otherwise the account's own groups count. Throws `not-found`
 * for names that the image does not have, `invalid-input` for what is no id.
 */
export function findUser(text: string, files: AccountFiles): ProcessUser {
  const [userPart = '', groupPart, ...surplus] = byteString(text).split(':');
  if (surplus.length > 0 || /[\0\n]/.test(text)) throw notUser(text);
  const accounts = entries(files.passwd);
  const uid = userPart === '' ? 0 : parseId(userPart, text);
  const account =
    uid === undefined
      ? accounts.find(entry => entry.name === userPart)
      : accounts.find(entry => storedId(entry.fields[2]) === uid);
  const foundUid = uid ?? storedId(account?.fields[2]);
  if (foundUid === undefined) throw noSuch('user', text, 'passwd');
  if (groupPart !== undefined && groupPart !== '') {
    return { uid: foundUid, gid: findGroup(groupPart, text, files), additionalGids: [] };
  }
  const gid = storedId(account?.fields[3]) ?? 0;
  return { uid: foundUid, gid, additionalGids: account ? memberships(account.name, gid, files) : [] };
}

/** The home directory of an account; `undefined` where the image knows none for the id. */
export function findHome(uid: number, files: AccountFiles): string | undefined {
  const home = entries(files.passwd).find(entry => storedId(entry.fields[2]) === uid)?.fields[5];
  return home?.startsWith('/') ? textOfByteString(home) : undefined;
}

function findGroup(part: string, text: string, files: AccountFiles): number {
  const gid = parseId(part, text) ?? storedId(entries(files.group).find(({ name }) => name === part)?.fields[2]);
  if (gid === undefined) throw noSuch('group', text, 'group');
  return gid;
}

function memberships(name: string, primary: number, files: AccountFiles): readonly number[] {
  const gids = new Set<number>();
  for (const { fields } of entries(files.group)) {
    const gid = storedId(fields[2]);
    if (gid !== undefined && gid !== primary && fields[3]?.split(',').includes(name)) gids.add(gid);
  }
  return [...gids].sort((a, b) => a - b);
}

function entries(text: string): readonly Entry[] {
  return text
    .split('\n')
    .map(line => line.trimEnd().split(':'))
    .filter(fields => fields.length >= 3 && fields[0] !== '')
    .map(fields => ({ name: fields[0]!, fields }));
}

/** A number as the user wrote it; `undefined` for a name. */
function parseId(part: string, text: string): number | undefined {
  if (!/^\d+$/.test(part)) return undefined;
  const id = Number(part);
  if (part.length > 10 || id > MAX_ID) throw notUser(text);
  return id;
}

function storedId(field: string | undefined): number | undefined {
  if (field === undefined || !/^\d{1,10}$/.test(field)) return undefined;
  const id = Number(field);
  return id <= MAX_ID ? id : undefined;
}

function notUser(text: string): StkError {
  return new StkError('invalid-input', `not a user: ${JSON.stringify(text.slice(0, 100))}`, {
    hint: 'write USER or USER:GROUP, each a name or a number up to 4294967294',
  });
}

function noSuch(what: string, text: string, file: string): StkError {
  return new StkError('not-found', `the image has no ${what} as in ${JSON.stringify(text.slice(0, 100))}`, {
    hint: `its /etc/${file} does not name it; a number works without`,
  });
}
