import { idsOf, type AccountIds } from '../apply/accounts/account-ids.ts';
import { idClasses, type AccountKind } from '../apply/accounts/id-ranges.ts';
import { stableAccounts, type StableAccount } from '../apply/accounts/new-accounts.ts';
import { renumberInstalled } from '../apply/apk/apk-owners.ts';
import { renumberAccounts, renumberRanges } from '../apply/accounts/renumber-text.ts';
import { errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { constants, lstat, open } from '../host/files.ts';
import { findOwnerIds } from '../host/walk-tree.ts';
import type { LayerStack } from '../squashfs/layer-stack.ts';
import type { OwnerMap } from '../squashfs/owner-map.ts';

export interface UpperAccounts {
  /** What a step wrote; its process is gone. Its account files are changed in place. */
  readonly upper: AbsPath;
  /** Opens the layers below, which stay the callee's; `undefined` where there are none. */
  readonly lower: () => Promise<LayerStack | undefined>;
  /** What whoever wrote the step says: a number in it was asked for. */
  readonly texts: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** Larger files of accounts are left as they are. */
const MOST_BYTES = 1024 * 1024;

/** They record owners by number. */
const APK_DATABASES = [
  ['lib', 'apk', 'db', 'installed'],
  ['usr', 'lib', 'apk', 'db', 'installed'],
] as const;
const MOST_DATABASE_BYTES = 64 * 1024 * 1024;

/**
 * Gives the accounts that a step made the ids that their names decide, in the account files of an upper directory. The
 * owners of the files there are for whoever packs them: `owners` says what they become. `undefined`: nothing changes.
 */
export async function stabilizeAccounts(
  request: UpperAccounts,
): Promise<{ readonly accounts: readonly StableAccount[]; readonly owners: OwnerMap } | undefined> {
  const { upper, texts, signal } = request;
  const written = { user: await readUpper(upper, 'passwd'), group: await readUpper(upper, 'group') };
  if (written.user === undefined && written.group === undefined) return undefined;
  await using lower = await request.lower();
  const below = (path: string) => textBelow(lower, path, signal);
  const before = {
    user: idsOf('user', (await below('etc/passwd')) ?? ''),
    group: idsOf('group', (await below('etc/group')) ?? ''),
  };
  const after = {
    user: written.user === undefined ? before.user : idsOf('user', written.user),
    group: written.group === undefined ? before.group : idsOf('group', written.group),
  };
  if (!hasNew(before.user, after.user) && !hasNew(before.group, after.group)) return undefined;
  const conventions = [
    (await readUpper(upper, 'login.defs')) ?? (await below('etc/login.defs')) ?? (await below('usr/etc/login.defs')),
    (await readUpper(upper, 'adduser.conf')) ?? (await below('etc/adduser.conf')),
  ] as const;
  const accounts = stableAccounts({
    before,
    after,
    classes: { user: idClasses('user', ...conventions), group: idClasses('group', ...conventions) },
    filesBelow: new Set(lower?.layers.flatMap(layer => [...layer.ownerIds])),
    filesWritten: await findOwnerIds(upper, signal),
    isAskedFor: id => texts.some(text => new RegExp(`(?<![0-9])${id}(?![0-9])`).test(text)),
  });
  if (accounts.length === 0) return undefined;
  const ids = asIds(accounts);
  for (const file of ['passwd', 'group'] as const) {
    for (const name of [file, `${file}-`]) {
      await rewriteUpper(etc(upper, name), text => renumberAccounts(text, file, 0, ids));
    }
  }
  for (const file of ['subuid', 'subgid'] as const) {
    for (const name of [file, `${file}-`]) {
      await rewriteUpper(etc(upper, name), text => renumberRanges(text, file, 0, ids));
    }
  }
  const owners = ids.owners[0]!;
  for (const path of APK_DATABASES) {
    await rewriteUpper({ upper, path, mostBytes: MOST_DATABASE_BYTES }, text => renumberInstalled(text, owners));
  }
  return { accounts, owners };
}

function hasNew(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): boolean {
  return [...after.keys()].some(name => !before.has(name));
}

/** The accounts as a merge of one side would have settled them. */
function asIds(accounts: readonly StableAccount[]): AccountIds {
  const of = (kind: AccountKind) => accounts.filter(account => account.kind === kind);
  const settled = (kind: AccountKind) => new Map(of(kind).map(({ name, to }) => [name, to]));
  const ranges = (kind: AccountKind) => of(kind).map(({ from, to }) => ({ from, to, count: 1 }));
  return {
    settled: { user: settled('user'), group: settled('group') },
    renumbered: [],
    moved: { user: [], group: [] },
    owners: [{ uids: ranges('user'), gids: ranges('group') }],
  };
}

async function textBelow(
  lower: LayerStack | undefined,
  path: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const node = await lower?.lookup(path, signal);
  if (!lower || node?.inode.type !== 'file' || node.inode.size > MOST_BYTES) return undefined;
  return (await lower.readFile(node, signal ? { signal } : {})).toString('latin1');
}

interface UpperFile {
  readonly upper: AbsPath;
  /** Names from the upper directory on. */
  readonly path: readonly string[];
  /** Larger files are left as they are. */
  readonly mostBytes: number;
}

function etc(upper: AbsPath, name: string): UpperFile {
  return { upper, path: ['etc', name], mostBytes: MOST_BYTES };
}

/** The text of a file in `/etc` of an upper directory; `undefined` where there is none, or anything else. */
async function readUpper(upper: AbsPath, name: string): Promise<string | undefined> {
  await using file = await openUpper(etc(upper, name), constants.O_RDONLY);
  return file && (await file.handle.readFile('latin1'));
}

/** Changes a file in place, so that its owner, mode, attributes and times stay. */
async function rewriteUpper(place: UpperFile, change: (text: string) => string): Promise<void> {
  await using file = await openUpper(place, constants.O_RDWR);
  if (file === undefined) return;
  const { handle } = file;
  const { atime, mtime } = await handle.stat();
  const text = await handle.readFile('latin1');
  const changed = change(text);
  if (changed === text) return;
  await handle.truncate(0);
  await handle.write(changed, 0, 'latin1');
  await handle.utimes(atime, mtime);
}

async function openUpper({ upper, path, mostBytes }: UpperFile, flags: number) {
  let file = upper;
  for (const name of path) {
    // What a step left behind is followed nowhere, and a device is not even opened. Nobody changes it any more.
    if (file !== upper && !(await lookAt(file))?.isDirectory()) return undefined;
    file = joinInside(file, name);
  }
  const stats = await lookAt(file);
  if (!stats?.isFile() || stats.size > mostBytes) return undefined;
  const handle = await open(file, flags | constants.O_NOFOLLOW);
  return { handle, [Symbol.asyncDispose]: () => handle.close() };
}

async function lookAt(path: AbsPath) {
  return lstat(path).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
}
