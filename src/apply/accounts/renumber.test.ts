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
import type { MergeProblem } from '../merge-problem.ts';
import { mergeTrees } from '../merge-trees.ts';
import { accounts } from './accounts.ts';

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

describe('two daemons with one id', () => {
  it('get one each, and the files of the second belong to it', async () => {
    const problem = await layers.applied([BASE], sides([daemon('postgres', 101)], [daemon('zebra', 101)]));
    const { tree, conflicts, result } = await merge(problem);
    expect(conflicts).toEqual([]);
    const { to } = result.renumbered.accounts[0]!;
    expect(to).toBeGreaterThan(101);
    expect(result.renumbered).toEqual({
      accounts: ['user', 'group'].map(kind => ({
        ...{ kind, name: 'zebra', image: 'python', from: 101, to, paths: 2, bytes: 'zebra'.length },
      })),
      paths: 2,
      bytes: 'zebra'.length,
    });
    expect(tree['etc/passwd']).toContain(JSON.stringify(user('root', 0) + user('postgres', 101) + user('zebra', to)));
    expect(tree['etc/group']).toContain(JSON.stringify(group('root', 0) + group('postgres', 101) + group('zebra', to)));
    expect(tree['var/postgres/data']).toBe('file 644 101:101 "postgres"');
    expect(tree['var/zebra']).toBe(`directory 750 ${to}:${to} ""`);
    expect(tree['var/zebra/data']).toBe(`file 644 ${to}:${to} "zebra"`);
    expect(result.settled).toContainEqual({ path: 'var/zebra/data', driver: 'accounts', sides: ['python'] });
  });

  it('keep set-id bits, attributes and hard links', async () => {
    const id = 101;
    const files: LayerContent = {
      'usr/bin/z': { file: 'z', uid: id, gid: id, mode: 0o6755, xattrs: { 'security.capability': '\x01' } },
      'usr/bin/z2': { sameAs: 'usr/bin/z' },
      'usr/lib/z': { sameAs: 'usr/bin/z' },
      'usr/lib/link': { link: 'z', uid: id, gid: 0 },
      'usr/lib/group': { file: 'g', uid: 0, gid: id, mode: 0o2755 },
    };
    const problem = await layers.applied([BASE], sides([daemon('a', id)], [daemon('z', id, files)]));
    const result = await mergeTrees(problem, { drivers: [accounts] });
    const { stack } = (await withMergeLayer(problem, result))!;
    const tree = await shownTree(stack);
    const to = result.renumbered.accounts[0]!.to;
    expect(tree['usr/bin/z']).toBe(`file 6755 ${to}:${to} security.capability=\x01 "z"`);
    expect(tree['usr/lib/z']).toBe(tree['usr/bin/z']);
    expect(tree['usr/lib/link']).toContain(` ${to}:0 "z"`);
    expect(tree['usr/lib/group']).toBe(`file 2755 0:${to} "g"`);
    const inodes = await Promise.all(['usr/bin/z', 'usr/bin/z2', 'usr/lib/z'].map(path => stack.lookup(path)));
    expect(new Set(inodes.map(node => node!.inode.ref)).size).toBe(1);
    expect(inodes[0]!.inode.nlink).toBe(3);
    expect(result.renumbered).toMatchObject({ paths: 7, bytes: 'z'.length + 'zg'.length });
  });

  it('get the same ids whoever else is there, and the first one keeps its own', async () => {
    const given = async (...names: readonly string[]) => {
      const all = names.map(name => [daemon(name, 105)]);
      const { result } = await merge(await layers.applied([BASE], sides(...all)));
      return Object.fromEntries(result.renumbered.accounts.map(({ name, to }) => [name, to]));
    };
    const [ab, ba, cb] = [await given('a', 'b'), await given('b', 'a'), await given('c', 'b')];
    expect(Object.keys(ab)).toEqual(['b']);
    expect(Object.keys(ba)).toEqual(['a']);
    expect(cb['b']).toBe(ab['b']);
    expect(await given('c', 'a', 'b')).toEqual({ ...ba, ...ab });
  });

  it('get ids of the class that they had, as the image draws it, and none that a file has', async () => {
    const defs = { 'etc/login.defs': 'SYS_UID_MIN 150\nSYS_UID_MAX\t152\nSYS_GID_MIN 150\nSYS_GID_MAX 152\n' };
    const stranger = { 'srv/f': owned('', 150, 151) };
    const system = await merge(
      await layers.applied([{ ...BASE, ...defs, ...stranger }], sides([daemon('a', 101)], [daemon('b', 101)])),
    );
    expect(system.result.renumbered.accounts.map(({ to }) => to)).toEqual([152, 152]);
    const people = await merge(await layers.applied([BASE], sides([daemon('a', 1000)], [daemon('b', 1000)])));
    expect(people.result.renumbered.accounts).toHaveLength(2);
    for (const { to } of people.result.renumbered.accounts) {
      expect(to).toBeGreaterThan(1000);
      expect(to).toBeLessThan(60_000);
    }
  });

  it('stay a conflict, with nothing suggested that loses an account, where no id is free', async () => {
    const defs = { 'etc/login.defs': 'SYS_UID_MIN 101\nSYS_UID_MAX 101\nSYS_GID_MIN 101\nSYS_GID_MAX 101\n' };
    const problem = await layers.applied([{ ...BASE, ...defs }], sides([daemon('a', 101)], [daemon('b', 101)]));
    const { conflicts, result } = await merge(problem);
    expect(conflicts).toContainEqual('etc/passwd: the uid 101 is a in ssl and b in python');
    for (const { remedies } of result.conflicts) expect(remedies.filter(each => each !== 'newer')).toEqual([]);
  });
});

describe('ids of accounts', () => {
  it('are one where a name has two', async () => {
    const { tree, conflicts } = await merge(
      await layers.applied([BASE], sides([daemon('a', 101)], [daemon('a', 105, { 'srv/a': owned('', 105) })])),
    );
    expect(conflicts).toEqual([]);
    expect(tree['etc/passwd']).toContain(JSON.stringify(user('root', 0) + user('a', 101)));
    expect(tree['srv/a']).toContain(' 101:101 ');
    expect(tree['var/a']).toContain(' 101:101 ');
  });

  it('change places where two images have them the other way around', async () => {
    const pair = (a: number, b: number, at: string): LayerContent => ({
      'etc/passwd': user('root', 0) + user('a', a, 0) + user('b', b, 0),
      [`${at}/a`]: owned('a', a),
      [`${at}/b`]: owned('b', b),
    });
    const { tree } = await merge(await layers.applied([BASE], sides([pair(101, 102, 'x')], [pair(102, 101, 'y')])));
    for (const at of ['x', 'y']) {
      expect(tree[`${at}/a`]).toContain(' 101:');
      expect(tree[`${at}/b`]).toContain(' 102:');
    }
  });

  it('are a new base’s own before those of what is applied', async () => {
    const newBase: LayerContent = daemon('n', 101);
    const problem = await layers.applied([BASE], sides([newBase], [daemon('p', 101)]));
    const { tree, result } = await merge(problem);
    expect(tree['var/n']).toContain(' 101:101 ');
    expect(result.renumbered.accounts.map(({ name }) => name)).toEqual(['p', 'p']);
  });

  it('follow an account of the base that one image renumbered', async () => {
    const base = { ...BASE, 'etc/passwd': user('root', 0) + user('d', 100) };
    const moved = { 'etc/passwd': user('root', 0) + user('d', 200), 'var/d': owned('', 200) };
    const { tree } = await merge(await layers.applied([base], sides([moved], [{ 'srv/d': owned('', 100) }])));
    expect(tree['srv/d']).toContain(' 200:');
  });

  it('stay together where one image has two names for one', async () => {
    const aliased: LayerContent = {
      'etc/passwd': user('root', 0) + user('x', 101) + user('y', 101),
      'srv/x': owned('', 101, 0),
    };
    const { tree, conflicts } = await merge(await layers.applied([BASE], sides([daemon('p', 101)], [aliased])));
    expect(conflicts).toEqual([]);
    const [x, y] = ['x', 'y'].map(name => new RegExp(`${name}:x:(\\d+)`).exec(tree['etc/passwd']!)?.[1]);
    expect(x).toBe(y);
    expect(tree['srv/x']).toContain(` ${x}:0 `);
  });

  it('never make root’s files somebody else’s', async () => {
    const alias = (name: string): LayerContent => ({
      'etc/passwd': user('root', 0) + user(name, 0),
      [`srv/${name}`]: owned(name, 0),
    });
    const { tree, conflicts } = await merge(await layers.applied([BASE], sides([alias('one')], [alias('two')])));
    expect(conflicts).toEqual([]);
    expect(tree['srv/two']).toContain(' 0:0 ');
  });

  it('leave files alone that belong to a number without a name', async () => {
    const { tree, result } = await merge(
      await layers.applied([BASE], sides([daemon('p', 101)], [{ 'srv/f': owned('', 101) }])),
    );
    expect(tree['srv/f']).toContain(' 101:101 ');
    expect(result.renumbered.accounts).toEqual([]);
  });

  it('are found in backups as well', async () => {
    const backup = (name: string): LayerContent => ({
      ...daemon(name, 101),
      'etc/passwd-': user('root', 0) + user(name, 101),
      'etc/group-': group('root', 0) + group(name, 101),
    });
    const { tree, result } = await merge(await layers.applied([BASE], sides([backup('p')], [backup('q')])));
    const { to } = result.renumbered.accounts[0]!;
    expect(tree['etc/passwd-']).toContain(JSON.stringify(user('root', 0) + user('p', 101) + user('q', to)));
    expect(tree['etc/group-']).toContain(JSON.stringify(group('root', 0) + group('p', 101) + group('q', to)));
  });

  it('below others move in blocks, with the files in them', async () => {
    const person = (name: string, start: number): LayerContent => ({
      ...daemon(name, 1000),
      'etc/subuid': `${name}:${start}:65536\n`,
      [`home/${name}/container`]: owned('', start + 33, 0),
    });
    const problem = await layers.applied([BASE], sides([person('alice', 100_000)], [person('bob', 100_000)]));
    const { tree, conflicts, result } = await merge(problem);
    expect(conflicts).toEqual([]);
    expect(tree['etc/subuid']).toContain(JSON.stringify('alice:100000:65536\nbob:165536:65536\n'));
    expect(tree['home/alice/container']).toContain(' 100033:0 ');
    expect(tree['home/bob/container']).toContain(' 165569:0 ');
    expect(result.renumbered.accounts).toContainEqual({
      ...{ kind: 'subuid', name: 'bob', image: 'python', from: 100_000, to: 165_536, paths: 1, bytes: 0 },
    });
  });
});
