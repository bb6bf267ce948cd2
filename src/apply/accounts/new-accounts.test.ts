import { describe, expect, it } from 'vitest';
import { idClasses } from './id-ranges.ts';
import { stableAccounts, type AccountChange } from './new-accounts.ts';

type Names = Readonly<Record<string, number>>;

function change(users: Names, groups: Names, more: Partial<AccountChange> = {}): AccountChange {
  const before = { user: new Map([['root', 0]]), group: new Map([['users', 100]]) };
  return {
    before,
    after: {
      user: new Map([...before.user, ...Object.entries(users)]),
      group: new Map([...before.group, ...Object.entries(groups)]),
    },
    classes: { user: idClasses('user'), group: idClasses('group') },
    filesBelow: new Set([0]),
    filesWritten: new Set([0]),
    isAskedFor: () => false,
    ...more,
  };
}

function ids(given: AccountChange): Names {
  return Object.fromEntries(stableAccounts(given).map(({ kind, name, to }) => [`${kind} ${name}`, to]));
}

describe('accounts that a step made', () => {
  it('get the ids of their names, whichever end of the class a tool began at', () => {
    const up = ids(change({ postgres: 100, redis: 101 }, { postgres: 101, redis: 102 }));
    const down = ids(change({ redis: 999, postgres: 998 }, { redis: 999, postgres: 998 }));
    expect(up).toEqual({ 'user postgres': 300, 'user redis': 301, 'group postgres': 300, 'group redis': 301 });
    expect(down).toEqual(up);
    const other = ids(change({ myapp: 100 }, {}))['user myapp']!;
    expect(other).toBeGreaterThanOrEqual(200);
    expect(other).toBeLessThan(900);
    expect(ids(change({ postgres: 100, myapp: 101 }, {}))['user myapp']).toBe(other);
  });

  it.each<[string, AccountChange]>([
    ['stands apart from all others', change({ app: 450 }, {})],
    ['is a person’s', change({ alice: 1000 }, {})],
    ['is one of the distribution’s static ones', change({ www: 33 }, {})],
    ['is named by the step', change({ app: 999 }, {}, { isAskedFor: id => id === 999 })],
    ['has two names', change({ one: 999, two: 999 }, {})],
    ['has files below without a name', change({ app: 999 }, {}, { filesBelow: new Set([0, 999]) })],
    ['is its name’s already', change({ redis: 301, other: 302 }, {}, { isAskedFor: id => id === 302 })],
  ])('keep an id that %s', (_, given) => {
    expect(ids(given)).toEqual({});
  });

  it('get no id that another account or a file has', () => {
    const before = { user: new Map([['taken', 300]]), group: new Map<string, number>() };
    const after = { user: new Map([...before.user, ['postgres', 100]]), group: before.group };
    const first = ids(change({}, {}, { before, after }))['user postgres']!;
    expect(first).not.toBe(300);
    const second = ids(change({}, {}, { before, after, filesWritten: new Set([0, first]) }))['user postgres']!;
    expect([300, first]).not.toContain(second);
  });

  it('get an id that lies in the image’s own class', () => {
    const classes = idClasses('user', 'SYS_UID_MIN 500\nSYS_UID_MAX 520\n');
    const given = change({ postgres: 520, app: 519 }, {}, { classes: { user: classes, group: classes } });
    for (const id of Object.values(ids(given))) {
      expect(id).toBeGreaterThanOrEqual(500);
      expect(id).toBeLessThanOrEqual(520);
    }
  });
});

describe('classes of ids', () => {
  it.each<[string, string, string, { system: object; ordinary: object }]>([
    ['nothing', '', '', { system: { first: 100, last: 999 }, ordinary: { first: 1000, last: 59_999 } }],
    [
      'login.defs',
      '#SYS_UID_MIN 7\nSYS_UID_MIN 201\nSYS_UID_MAX\t999 # most\nUID_MIN 1000\nUID_MAX 60000\n',
      '',
      { system: { first: 201, last: 999 }, ordinary: { first: 1000, last: 59_999 } },
    ],
    [
      'adduser.conf before login.defs',
      'SYS_UID_MIN 201\n',
      'FIRST_SYSTEM_UID=150\nLAST_SYSTEM_UID="300"\nFIRST_UID=2000\n',
      { system: { first: 150, last: 300 }, ordinary: { first: 2000, last: 59_999 } },
    ],
    [
      'nonsense',
      'SYS_UID_MIN 5\nSYS_UID_MAX 3\nUID_MIN 99999999\n',
      '',
      { system: { first: 100, last: 999 }, ordinary: { first: 1000, last: 59_999 } },
    ],
  ])('come from %s', (_, loginDefs, adduserConf, expected) => {
    expect(idClasses('user', loginDefs, adduserConf)).toMatchObject(expected);
  });
});
