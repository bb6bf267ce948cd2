import { describe, expect, it } from 'vitest';
import { Layers, merge, sides, type LayerContent } from '../../../test/fixtures/merge-layers.ts';
import { accounts } from '../accounts/accounts.ts';
import { apk } from './apk.ts';
import { renumberInstalled } from './apk-owners.ts';

const INSTALLED = 'lib/apk/db/installed';
const MUSL = 'C:Q1musl=\nP:musl\nV:1\nF:tmp\nM:0:0:1777\n\n';

const record = (name: string, id: number) =>
  [`C:Q1${name}=`, `P:${name}`, 'V:1', `F:var/lib/${name}`, `M:${id}:${id}:750`, 'R:data', `a:${id}:0:640`, '\n'].join(
    '\n',
  );

/** What a package with an account of its own brings, and its record. */
function daemon(name: string, id: number, database: string | undefined = MUSL + record(name, id)): LayerContent {
  return {
    'etc/passwd': `root:x:0:0::/:/bin/sh\n${name}:x:${id}:${id}::/:/bin/false\n`,
    'etc/group': `root:x:0:\n${name}:x:${id}:\n`,
    [`var/lib/${name}`]: { directory: 'plain', uid: id, gid: id, mode: 0o750 },
    ...(database === '' ? {} : { [INSTALLED]: database }),
  };
}

const BASE: LayerContent = {
  'etc/passwd': 'root:x:0:0::/:/bin/sh\n',
  'etc/group': 'root:x:0:\n',
  [INSTALLED]: MUSL,
};

const layers = new Layers();
const drivers = [accounts, apk];

describe('owners in the database of apk', () => {
  it.each([
    ['each side has a package', undefined],
    ['the side that is renumbered alone has one', ''],
  ])('follow their accounts where %s', async (_what, first) => {
    const problem = await layers.applied([BASE], sides([daemon('aa', 101, first)], [daemon('zz', 101)]));
    const { tree, conflicts, result } = await merge(problem, drivers);
    expect(conflicts).toEqual([]);
    const { to } = result.renumbered.accounts[0]!;
    expect(to).not.toBe(101);
    const expected = MUSL + (first === '' ? '' : record('aa', 101)) + record('zz', to);
    expect(tree[INSTALLED]).toContain(JSON.stringify(expected));
    expect(tree['var/lib/zz']).toContain(`${to}:${to}`);
  });

  it('are numbers in the two fields for them alone', () => {
    const owners = { uids: [{ from: 7, to: 70, count: 1 }], gids: [{ from: 8, to: 80, count: 1 }] };
    const text = 'P:7\nV:7:8:1\nF:a:7:8:1\nM:7:8:750:Q1x=\nR:M:7:8:1\na:8:7:640\na:7\n';
    expect(renumberInstalled(text, owners)).toBe(text.replace('M:7:8:750', 'M:70:80:750'));
  });
});
