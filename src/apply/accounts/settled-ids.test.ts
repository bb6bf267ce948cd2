import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  Layers,
  merge as mergeWith,
  shownTree,
  sides,
  withMergeLayer,
  type LayerContent,
  type LayerNode,
} from '../../../test/fixtures/merge-layers.ts';
import type { LayerStack } from '../../squashfs/layer-stack.ts';
import type { MergeProblem } from '../merge-problem.ts';
import { mergeTrees } from '../merge-trees.ts';
import { accounts } from './accounts.ts';
import { assertRenumberable } from './renumber-report.ts';

const layers = new Layers();
const merge = (problem: MergeProblem) => mergeWith(problem, [accounts]);

const user = (name: string, uid: number, gid = uid) => `${name}:x:${uid}:${gid}::/:/bin/false\n`;
const group = (name: string, gid: number, members = '') => `${name}:x:${gid}:${members}\n`;

const BASE: LayerContent = { 'etc/passwd': user('root', 0), 'etc/group': group('root', 0) };

/** What a package that makes an account and its group brings. */
function daemon(name: string, id: number, files: LayerContent = {}): LayerContent {
  return {
    'etc/passwd': user('root', 0) + user(name, id),
    'etc/group': group('root', 0) + group(name, id),
    [`var/${name}`]: { directory: 'plain', uid: id, gid: id, mode: 0o750 },
    [`var/${name}/data`]: owned(name, id),
    ...files,
  };
}

function owned(file: string, uid: number, gid = uid): LayerNode {
  return { file, uid, gid };
}

/** The names that each path's owner and group go by; their numbers where they have none. */
async function ownerNames(stack: LayerStack | undefined) {
  const names = async (file: string) => {
    const node = await stack?.lookup(file);
    const text = node ? (await stack!.readFile(node)).toString('latin1') : '';
    const byId = new Map<number, string[]>();
    for (const line of text.split('\n')) {
      const [name = '', , id] = line.split(':');
      if (id !== undefined) byId.set(Number(id), [...(byId.get(Number(id)) ?? []), name]);
    }
    return byId;
  };
  const [users, groups] = [await names('etc/passwd'), await names('etc/group')];
  const found: Record<string, { readonly user: readonly string[]; readonly group: readonly string[] }> = {};
  for (const [path, line] of Object.entries(await shownTree(stack))) {
    const [uid, gid] = line.split(' ')[2]!.split(':').map(Number) as [number, number];
    found[path] = { user: users.get(uid) ?? [`${uid}`], group: groups.get(gid) ?? [`${gid}`] };
  }
  return found;
}

describe('a rule for the accounts', () => {
  it.each([
    ['last', []],
    ['first', []],
    ['renumber', ['user zebra', 'group zebra']],
    ['newer', ['user zebra', 'group zebra']],
  ] as const)('%s decides', async (resolution, expected) => {
    const rules = { '/etc/{passwd,group}': resolution };
    const applied = [
      { name: 'one', layers: [daemon('pg', 101)] },
      { name: 'two', layers: [daemon('zebra', 101)], rules },
    ];
    const { result, conflicts } = await merge(await layers.applied([BASE], applied));
    expect(conflicts).toEqual([]);
    expect(result.renumbered.accounts.map(({ kind, name }) => `${kind} ${name}`)).toEqual(expected);
  });

  it('newer takes what clashes in a record from the younger file, and loses no account', async () => {
    const file = (shell: string, mtime: number, more = ''): LayerContent => ({
      'etc/passwd': { file: user('root', 0).replace('/bin/false', shell) + more, mtime },
    });
    const rules = { '/etc/passwd': 'newer' } as const;
    const applied = [
      { name: 'one', layers: [file('/bin/young', 9, user('a', 101))] },
      { name: 'two', layers: [file('/bin/old', 7, user('b', 102))], rules },
    ];
    const { tree, conflicts } = await merge(await layers.applied([BASE], applied));
    expect(conflicts).toEqual([]);
    const root = user('root', 0).replace('/bin/false', '/bin/young');
    expect(tree['etc/passwd']).toContain(JSON.stringify(root + user('a', 101) + user('b', 102)));
  });
});

describe('the next version of an image', () => {
  const previous = async (passwd: string, chosen: readonly string[]): Promise<MergeProblem['previous']> => ({
    tree: await layers.stack([{ ...BASE, 'etc/passwd': user('root', 0) + passwd }]),
    chosen: { user: new Set(chosen), group: new Set() },
  });
  const only = (name: string, uid: number): LayerContent => ({
    'etc/passwd': user('root', 0) + user(name, uid, 0),
    [`var/${name}`]: owned('', uid, 0),
  });

  it('keeps an id that was chosen, also where nothing clashes any more', async () => {
    const before = await previous(user('p', 101, 0) + user('q', 345, 0), ['q']);
    for (const first of [only('p', 101), only('p', 103), { 'srv/x': 'x' }]) {
      const { tree } = await merge(await layers.applied([BASE], sides([first], [only('q', 101)]), before));
      expect(tree['var/q']).toContain(' 345:0 ');
      expect(tree['etc/passwd']).toContain('q:x:345:0:');
    }
  });

  it('keeps the ids that the image had, and renumbers who is new', async () => {
    const before = await previous(user('q', 101, 0), []);
    const { tree, result } = await merge(
      await layers.applied([BASE], sides([only('p', 101)], [only('q', 101)]), before),
    );
    expect(tree['var/q']).toContain(' 101:0 ');
    expect(result.renumbered.accounts.map(({ name }) => name)).toEqual(['p']);
  });

  it('frees the id of an account that nobody brings any more', async () => {
    const before = await previous(user('p', 101, 0) + user('q', 345, 0), ['q']);
    const { tree } = await merge(await layers.applied([BASE], sides([only('p', 101)], [only('r', 345)]), before));
    expect(tree['etc/passwd']).toContain(JSON.stringify(user('root', 0) + user('p', 101, 0) + user('r', 345, 0)));
  });
});

describe('what is copied for the sake of owners', () => {
  it('is refused beyond the limit, by names', async () => {
    const problem = await layers.applied([BASE], sides([daemon('a', 101)], [daemon('b', 101)]));
    const { renumbered } = await mergeTrees(problem, { drivers: [accounts] });
    expect(() => assertRenumberable(renumbered, 'app', renumbered.bytes)).not.toThrow();
    expect(() => assertRenumberable(renumbered, 'app', renumbered.bytes - 1)).toThrow(
      expect.objectContaining({ code: 'conflict', message: expect.stringContaining('user b of python: 101 becomes') }),
    );
  });
});

it('gives every file to whom it belonged, by name', async () => {
  const names = ['a', 'b', 'c', 'd', 'e'] as const;
  const ids = fc.constantFrom(101, 102, 103, 1000);
  const image = fc.record({
    users: fc.dictionary(fc.constantFrom(...names), ids, { maxKeys: 4 }),
    groups: fc.dictionary(fc.constantFrom(...names), ids, { maxKeys: 4 }),
  });
  const content = ({ users, groups }: typeof image extends fc.Arbitrary<infer T> ? T : never, at: string) => {
    const files: Record<string, LayerNode> = {
      'etc/passwd':
        user('root', 0) +
        Object.entries(users)
          .map(([name, id]) => user(name, id, 0))
          .join(''),
      'etc/group':
        group('root', 0) +
        Object.entries(groups)
          .map(([name, id]) => group(name, id))
          .join(''),
    };
    for (const id of new Set([...Object.values(users), ...Object.values(groups)])) {
      const isUser = Object.values(users).includes(id);
      const isGroup = Object.values(groups).includes(id);
      files[`${at}/${id}`] = owned(at, isUser ? id : 0, isGroup ? id : 0);
    }
    return files;
  };
  await fc.assert(
    fc.asyncProperty(image, image, image, async (one, two, three) => {
      const contents = [content(one, 'x'), content(two, 'y'), content(three, 'z')];
      const problem = await layers.applied([BASE], sides(...contents.map(each => [each])));
      const result = await mergeTrees(problem, { drivers: [accounts] });
      expect(result.conflicts).toEqual([]);
      const merged = await ownerNames((await withMergeLayer(problem, result))?.stack ?? problem.plain);
      for (const each of contents) {
        const own = await ownerNames(await layers.stack([BASE, each]));
        for (const path of Object.keys(each)) {
          // Several names of one id are one account.
          expect(merged[path]!.user).toContain(own[path]!.user[0]);
          expect(merged[path]!.group).toContain(own[path]!.group[0]);
        }
      }
    }),
    { numRuns: 20 },
  );
}, 60_000);
