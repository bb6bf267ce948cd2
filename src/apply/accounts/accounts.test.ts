import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mergePath, outcomeText } from '../../../test/rig/merge-versions.ts';
import { accounts } from './accounts.ts';

const PASSWD = 'root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n';
const GROUP = 'root:x:0:\nadm:x:4:syslog,old\n';

async function merge(path: string, ancestor: string | undefined, ...sides: readonly (string | undefined)[]) {
  const names = ['ssl', 'python3', 'third'];
  const trees = Object.fromEntries(sides.map((text, i) => [names[i]!, { [path]: text }]));
  return outcomeText(await mergePath(accounts, path, { ancestor: { [path]: ancestor }, sides: trees }));
}

describe('accounts', () => {
  it.each<[string, string, string, string, string, string]>([
    [
      'users that both added',
      'etc/passwd',
      PASSWD,
      `${PASSWD}a:x:100:100::/:/bin/false\n`,
      `${PASSWD}b:x:101:101::/:/bin/false\n`,
      `${PASSWD}a:x:100:100::/:/bin/false\nb:x:101:101::/:/bin/false\n`,
    ],
    [
      'different fields of one user',
      'etc/passwd',
      PASSWD,
      PASSWD.replace('/bin/bash', '/bin/zsh'),
      PASSWD.replace('/root:', '/home/root:'),
      PASSWD.replace('/root:/bin/bash', '/home/root:/bin/zsh'),
    ],
    [
      'a user that one removed',
      'etc/passwd',
      PASSWD,
      PASSWD.split('\n')[0]! + '\n',
      `${PASSWD}a:x:100:100::/:/\n`,
      `${PASSWD.split('\n')[0]}\na:x:100:100::/:/\n`,
    ],
    [
      'members that were added and removed',
      'etc/group',
      GROUP,
      'root:x:0:\nadm:x:4:syslog,old,new\n',
      'root:x:0:\nadm:x:4:syslog,other\n',
      'root:x:0:\nadm:x:4:syslog,new,other\n',
    ],
    ['a group that both added with different members', 'etc/group', '', 'g:x:5:a\n', 'g:x:5:b\n', 'g:x:5:a,b\n'],
    [
      'days of the last change',
      'etc/shadow',
      'root:*:19000:0:99999:7:::\n',
      'root:*:19500:0:99999:7:::\na:!:19500::::::\n',
      'root:*:19400:0:99999:7:::\na:!:19600::::::\n',
      'root:*:19500:0:99999:7:::\na:!:19600::::::\n',
    ],
    ['administrators', 'etc/gshadow', 'g:!::\n', 'g:!:x:m\n', 'g:!:y:n\n', 'g:!:x,y:m,n\n'],
    [
      'entries of NIS stay last',
      'etc/passwd',
      '+::::::\n',
      'a:x:5:5::/:/\n+::::::\n',
      'b:x:6:6::/:/\n+::::::\n',
      'a:x:5:5::/:/\nb:x:6:6::/:/\n+::::::\n',
    ],
    ['comments', 'etc/passwd', '# one\n', '# one\n# two\n', '# one\na:x:5:5::/:/\n', '# one\n# two\na:x:5:5::/:/\n'],
    [
      'ranges of subordinate ids',
      'etc/subuid',
      'a:100000:65536\n',
      'a:100000:65536\nb:165536:65536\n',
      'a:100000:65536\nc:231072:65536\n',
      'a:100000:65536\nb:165536:65536\nc:231072:65536\n',
    ],
  ])('merges %s', async (_what, path, ancestor, one, two, expected) => {
    expect(await merge(path, ancestor, one, two)).toBe(expected);
  });

  it.each<[string, string, string, string | undefined, string | undefined, RegExp]>([
    [
      'one name with two ids',
      'etc/passwd',
      '',
      'a:x:100:1::/:/\n',
      'a:x:101:1::/:/\n',
      /user a has the uid 100 in ssl and 101 in python3/,
    ],
    [
      'one id with two names',
      'etc/passwd',
      '',
      'a:x:100:1::/:/\n',
      'b:x:100:1::/:/\n',
      /uid 100 is a in ssl and b in python3/,
    ],
    [
      'one gid with two names',
      'etc/group',
      GROUP,
      `${GROUP}a:x:101:\n`,
      `${GROUP}b:x:101:\n`,
      /gid 101 is a in ssl and b in python3/,
    ],
    [
      'an id of the base with another name',
      'etc/passwd',
      PASSWD,
      `${PASSWD}b:x:7:7::/:/\n`,
      `${PASSWD}a:x:7:7::/:/\n`,
      /uid 7 is b in ssl and a in python3/,
    ],
    [
      'a field',
      'etc/passwd',
      PASSWD,
      PASSWD.replace('bash', 'zsh'),
      PASSWD.replace('bash', 'fish'),
      /user root has the shell \/bin\/zsh in ssl and \/bin\/fish in python3/,
    ],
    [
      'a removed account that another changed',
      'etc/group',
      GROUP,
      'root:x:0:\n',
      GROUP.replace('old', 'old,new'),
      /group adm was removed by ssl and changed by python3/,
    ],
    [
      'a cut record',
      'etc/passwd',
      PASSWD,
      `${PASSWD}a:x:100:100:`,
      `${PASSWD}b:x:101:101::/:/\n`,
      /of ssl is damaged: a line is no record of a user: a:x:100:100:/,
    ],
    ['NUL bytes', 'etc/group', GROUP, `${GROUP}b:x:6:\n`, `${GROUP}a\0:x:5:\n`, /of python3 is damaged.*a\\x00:x:5:$/],
    [
      'overlapping ranges',
      'etc/subgid',
      '',
      'a:100000:65536\n',
      'b:150000:10\n',
      /ranges a:100000:65536 in ssl and b:150000:10 in python3 overlap/,
    ],
    ['no range', 'etc/subuid', '', 'a:x:1\n', 'b:150000:10\n', /of ssl is damaged/],
    ['deletion', 'etc/passwd', PASSWD, undefined, `${PASSWD}b:x:101:101::/:/\n`, /ssl deleted \/etc\/passwd/],
  ])('reports %s', async (_what, path, ancestor, one, two, expected) => {
    const text = await merge(path, ancestor, one, two);
    expect(text).toMatch(/^conflict: /);
    expect(text).toMatch(expected);
  });

  it('shows no passwords', async () => {
    const text = await merge('etc/shadow', 'r:$6$zero:1::::::\n', 'r:$6$one:1::::::\n', 'r:$6$two:1::::::\n');
    expect(text).toMatch(/^conflict: the user r has different passwords in ssl and python3$/);
    const cut = await merge('etc/shadow', '', 'r:$6$secret:1::::::\n', 'r:$6$secret');
    expect(cut).toMatch(/^conflict: .*damaged/);
    expect(cut).not.toContain('secret');
  });

  it('lets one side have an id twice', async () => {
    const two = 'root:x:0:0::/:/\ntoor:x:0:0::/:/\n';
    expect(await merge('etc/passwd', 'root:x:0:0::/:/\n', two, 'root:x:0:0::/:/\na:x:1:1::/:/\n')).toBe(
      'root:x:0:0::/:/\ntoor:x:0:0::/:/\na:x:1:1::/:/\n',
    );
  });

  it('takes the last backup where backups clash, and none where one was deleted', async () => {
    expect(await merge('etc/passwd-', '', 'a:x:100:1::/:/\n', 'b:x:100:1::/:/\n')).toBe('take 1');
    expect(await merge('etc/passwd-', PASSWD, `${PASSWD}a:x:100:1::/:/\n`, undefined)).toBe('drop');
    expect(await merge('etc/passwd-', PASSWD, undefined, `${PASSWD}a:x:100:1::/:/\n`)).toBe('drop');
    expect(await merge('etc/group-', GROUP, `${GROUP}a:x:100:\n`, `${GROUP}b:x:101:\n`)).toBe(
      `${GROUP}a:x:100:\nb:x:101:\n`,
    );
  });

  it('ends soon on senseless input', async () => {
    const many = Array.from({ length: 40_000 }, (_, i) => `u${i}:0:4294967295\n`).join('');
    expect(await merge('etc/subuid', '', many, 'x:5:5\n')).toMatch(/^conflict/);
    const same = Array.from({ length: 60_000 }, (_, i) => `u${i}:x:0:0::/:\n`).join('');
    expect(await merge('etc/passwd', '', same, 'x:x:0:0::/:\n')).toMatch(/^conflict/);
  });

  it('commutes as a set of records and keeps what it made', async () => {
    const users = fc
      .uniqueArray(fc.integer({ min: 0, max: 9 }))
      .map(ids => ids.map(id => `u${id}:x:${id}:${id}::/:/\n`).join(''));
    await fc.assert(
      fc.asyncProperty(users, users, users, async (ancestor, one, two) => {
        fc.pre(one !== two && one !== ancestor && two !== ancestor);
        const merged = await merge('etc/passwd', ancestor, one, two);
        const other = await merge('etc/passwd', ancestor, two, one);
        expect(merged.split('\n').toSorted()).toEqual(other.split('\n').toSorted());
        const ids = (text: string) => new Set(text.split('\n'));
        for (const line of ids(merged)) expect(ids(one + two).has(line) || line === '').toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
