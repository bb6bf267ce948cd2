import { splitLines } from '../text/three-way.ts';

export type AccountsFile = 'passwd' | 'group' | 'shadow' | 'gshadow';

/** How the fields of a record come together where several sides changed them. */
type FieldKind = 'value' | 'id' | 'set' | 'newest' | 'secret';

export interface FieldRule {
  readonly name: string;
  readonly kind: FieldKind;
}

interface FileRule {
  /** What a record is of. */
  readonly noun: string;
  readonly fields: readonly FieldRule[];
  /** Position of the numeric id, where the file has one. */
  readonly idField: number | undefined;
}

const value = (name: string): FieldRule => ({ name, kind: 'value' });

/** Fields in their order, of passwd(5), group(5), shadow(5) and gshadow(5). */
export const ACCOUNTS_FILES: Readonly<Record<AccountsFile, FileRule>> = {
  passwd: {
    noun: 'user',
    fields: [
      value('name'),
      { name: 'password', kind: 'secret' },
      { name: 'uid', kind: 'id' },
      value('gid'),
      value('comment'),
      value('home directory'),
      value('shell'),
    ],
    idField: 2,
  },
  group: {
    noun: 'group',
    fields: [
      value('name'),
      { name: 'password', kind: 'secret' },
      { name: 'gid', kind: 'id' },
      { name: 'members', kind: 'set' },
    ],
    idField: 2,
  },
  shadow: {
    noun: 'user',
    fields: [
      value('name'),
      { name: 'password', kind: 'secret' },
      { name: 'day of the last change', kind: 'newest' },
      value('minimum age'),
      value('maximum age'),
      value('warning period'),
      value('inactivity period'),
      value('expiration date'),
      value('reserved field'),
    ],
    idField: undefined,
  },
  gshadow: {
    noun: 'group',
    fields: [
      value('name'),
      { name: 'password', kind: 'secret' },
      { name: 'administrators', kind: 'set' },
      { name: 'members', kind: 'set' },
    ],
    idField: undefined,
  },
};

/** A line of the file: an account, or anything else, which stays as it is. */
export interface AccountLine {
  readonly text: string;
  /** `undefined`: a comment, an empty line, an entry for NIS, or what no program understands. */
  readonly fields: readonly string[] | undefined;
}

export interface AccountLines {
  /** Accounts under `@NAME`, other lines under `#` with a number and their text. */
  readonly lines: ReadonlyMap<string, AccountLine>;
  /** Lines that are neither accounts nor anything that belongs there. */
  readonly malformed: readonly string[];
}

/** The text of an accounts file on one side. */
export interface AccountsText {
  readonly name: string;
  readonly text: string;
  /** Of the file, in seconds since the Unix epoch. */
  readonly mtime?: number;
}

export function parseAccounts(text: string, file: AccountsFile): AccountLines {
  const { fields: rules } = ACCOUNTS_FILES[file];
  const lines = new Map<string, AccountLine>();
  const repeated = new Map<string, number>();
  const malformed: string[] = [];
  for (const line of splitLines(text)) {
    const fields = line.split(':');
    const special = /^(?:[+#-]|\s*$)/.test(line);
    const isAccount = !special && fields.length === rules.length && fields[0] !== '' && !line.includes('\0');
    if (!special && !isAccount) malformed.push(line);
    // What getpwnam(3) finds is the first of several accounts with one name.
    if (isAccount && !lines.has(`@${fields[0]}`)) {
      lines.set(`@${fields[0]}`, { text: line, fields });
      continue;
    }
    const count = repeated.get(line) ?? 0;
    repeated.set(line, count + 1);
    lines.set(`#${count} ${line}`, { text: line, fields: undefined });
  }
  return { lines, malformed };
}

/** Whether a line stands for NIS entries: what comes after those is not seen, so they stay last. */
export function isNisLine({ text }: AccountLine): boolean {
  return text.startsWith('+') || text.startsWith('-');
}
