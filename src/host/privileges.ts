import type { AbsPath } from '../core/paths.ts';
import { access, constants, readFile, statfs } from './files.ts';
import { readSubordinateIds, type IdRange } from './subordinate-ids.ts';

/** Who this process is to the kernel. */
export interface Privileges {
  readonly uid: number;
  readonly userName: string | undefined;
  /** In the initial user namespace, where kernel filesystems and loop devices may be used by root. */
  readonly initialUserNamespace: boolean;
  /** CAP_SYS_ADMIN in the current user namespace: may mount. */
  readonly canMount: boolean;
  /** Size of the subordinate uid and gid ranges of the user (/etc/subuid, /etc/subgid); 0 where there is none. */
  readonly subordinateIds: number;
}

const CAP_SYS_ADMIN = 21n;

export async function readPrivileges(): Promise<Privileges> {
  const uid = process.getuid?.() ?? 0;
  const [uidMap, status, passwd] = await Promise.all([
    readFile('/proc/self/uid_map', 'utf8'),
    readFile('/proc/self/status', 'utf8'),
    readFile('/etc/passwd', 'utf8').catch(() => ''),
  ]);
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const userName = passwd
    .split('\n')
    .find(line => line.split(':')[2] === String(uid))
    ?.split(':')[0];
  const subordinate = await readSubordinateIds({ uid, userName });
  return {
    uid,
    userName,
    initialUserNamespace: /^\s*0\s+0\s+4294967295\s*$/.test(uidMap.trimEnd()),
    canMount: (effective & (1n << CAP_SYS_ADMIN)) !== 0n,
    subordinateIds: Math.min(countIds(subordinate.uids), countIds(subordinate.gids)),
  };
}

function countIds(ranges: readonly IdRange[]): number {
  return ranges.reduce((sum, { count }) => sum + count, 0);
}

/** `f_type` of statfs(2) for filesystems that cannot hold an overlay's upper directory. */
const UPPER_UNFIT: ReadonlyMap<number, string> = new Map([
  [0x794c7630, 'overlayfs'],
  [0x6969, 'NFS'],
  [0x65735546, 'FUSE'],
  [0x73717368, 'squashfs'],
  [0x01021997, '9p'],
]);

/** Name of the filesystem below a directory if an overlay's upper directory cannot live there. */
export async function unfitForUpper(directory: AbsPath): Promise<string | undefined> {
  return UPPER_UNFIT.get((await statfs(directory)).type);
}

export async function canAccess(path: string, mode: 'read' | 'read-write'): Promise<boolean> {
  return access(path, mode === 'read' ? constants.R_OK : constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}
