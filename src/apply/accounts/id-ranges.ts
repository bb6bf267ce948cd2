/** Ids of one class, both ends included. */
export interface IdClass {
  readonly first: number;
  readonly last: number;
}

/** How an image hands out ids, for users or for groups. */
export interface IdClasses {
  /** Of daemons. */
  readonly system: IdClass;
  /** Of people. */
  readonly ordinary: IdClass;
  /** Where ranges of subordinate ids begin. */
  readonly subordinateFirst: number;
}

export type AccountKind = 'user' | 'group';

/** login.defs(5) of shadow 4.13 and adduser.conf(5) of Debian 12 where they say nothing; busybox's adduser has the same. */
const DEFAULTS = { systemFirst: 100, systemLast: 999, first: 1000, last: 59_999, subordinateFirst: 100_000 };

/**
 * Numbers above this are no place for accounts that somebody is to be given: Debian's static allocations begin there
 * (Debian Policy 9.2.2), then come systemd's dynamic users and the 16-bit nobody.
 */
const MOST_ORDINARY = 59_999;
/** The last of the 16-bit numbers, which stands for nobody at all. */
const MOST_STATIC = 65_535;
/** Debian's base-passwd and most others' packages know these by number (Debian Policy 9.2.2). */
const LAST_STATIC = 99;

/** The classes of ids by the texts of `/etc/login.defs` and `/etc/adduser.conf`; the latter wins, as it does for Debian's packages. */
export function idClasses(kind: AccountKind, loginDefs = '', adduserConf = ''): IdClasses {
  const id = kind === 'user' ? 'UID' : 'GID';
  const login = settings(loginDefs, /^\s*([A-Z_]+)\s+(\d{1,10})\s*(?:#.*)?$/);
  const adduser = settings(adduserConf, /^\s*([A-Z_]+)\s*=\s*"?(\d{1,10})"?\s*(?:#.*)?$/);
  const number = (name: string, other: string, fallback: number) => adduser.get(name) ?? login.get(other) ?? fallback;
  const system = range(
    Math.max(number(`FIRST_SYSTEM_${id}`, `SYS_${id}_MIN`, DEFAULTS.systemFirst), LAST_STATIC + 1),
    number(`LAST_SYSTEM_${id}`, `SYS_${id}_MAX`, DEFAULTS.systemLast),
  );
  const ordinary = range(
    Math.max(number(`FIRST_${id}`, `${id}_MIN`, DEFAULTS.first), LAST_STATIC + 1),
    Math.min(number(`LAST_${id}`, `${id}_MAX`, DEFAULTS.last), MOST_ORDINARY),
  );
  return {
    system: system ?? { first: DEFAULTS.systemFirst, last: DEFAULTS.systemLast },
    ordinary: ordinary ?? { first: DEFAULTS.first, last: DEFAULTS.last },
    subordinateFirst: Math.max(login.get(`SUB_${id}_MIN`) ?? DEFAULTS.subordinateFirst, MOST_STATIC + 1),
  };
}

function settings(text: string, line: RegExp): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const each of text.split('\n')) {
    const match = line.exec(each);
    if (match) found.set(match[1]!, Number(match[2]));
  }
  return found;
}

/** `undefined` where a file says something that leaves no id, or reaches into what is Debian's. */
function range(first: number, last: number): IdClass | undefined {
  return first <= last && last <= MOST_ORDINARY ? { first, last } : undefined;
}

export function isIn({ first, last }: IdClass, id: number): boolean {
  return id >= first && id <= last;
}
