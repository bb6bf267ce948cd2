import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import {
  chunked,
  hostTree,
  quickOptions,
  run,
  tarOf,
  temporaryDirectory,
  type EntrySketch,
} from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import { emptyLower, type LowerContent, type LowerNode } from './lower-tree.ts';
import { convertTarLayer } from './tar-to-squashfs.ts';

requires('root', 'kernel-squashfs', 'tool:tar2sqfs', 'tool:umoci', 'tool:getfattr');

const directory = temporaryDirectory();
afterAll(() => directory[Symbol.dispose]());

const d = (name: string, more: Partial<EntrySketch> = {}): EntrySketch => ({ path: name, type: 'directory', ...more });
const f = (name: string, content: string): EntrySketch => ({ path: name, content });

/** Layers from the bottom up, with everything that the layer format can say. */
const layers: readonly (readonly EntrySketch[])[] = [
  [
    d('./'),
    d('usr'),
    d('usr/lib', { mode: 0o711 }),
    { path: 'lib', type: 'symlink', linkPath: 'usr/lib' },
    d('tmp', { mode: 0o1777 }),
    d('etc'),
    f('etc/old', 'old'),
    f('etc/kept', 'kept'),
    d('etc/dir'),
    f('etc/dir/a', 'a'),
    d('etc/dir/sub'),
    f('etc/dir/sub/b', 'b'),
    d('var'),
    f('var/one', 'one'),
    f('var/two', 'two'),
    f('became-directory', 'x'),
    d('became-file'),
    f('became-file/x', 'x'),
  ],
  [
    d('etc', { mode: 0o750 }),
    f('etc/.wh.old', ''),
    d('etc/dir'),
    f('etc/dir/.wh..wh..opq', ''),
    f('etc/dir/c', 'c'),
    f('lib/through-symlink', 'found'),
    f('tmp/implied', 'parent is below'),
    d('became-directory'),
    f('became-directory/y', 'y'),
    f('became-file', 'file'),
    f('.wh.var', ''),
  ],
  [
    d('var'),
    f('var/three', 'three'),
    { path: 'var/link', type: 'hardlink', linkPath: 'var/three' },
    f('etc/old', 'again'),
  ],
];

it('layers mounted over one another are what umoci unpacks', async () => {
  const layout = `${directory}/layout`;
  const umoci = (...args: readonly string[]) => execFileSync('umoci', args, { stdio: 'pipe' });
  umoci('init', '--layout', layout);
  umoci('new', '--image', `${layout}:t`);
  const mounts: string[] = [];
  const merged = `${directory}/merged`;
  mkdirSync(merged);
  try {
    for (const [index, entries] of layers.entries()) {
      const bytes = tarOf(...entries);
      const file = `${directory}/${index}.tar`;
      writeFileSync(file, bytes);
      umoci('raw', 'add-layer', '--image', `${layout}:t`, file);
      const output = `${directory}/${index}.sqfs` as AbsPath;
      await convertTarLayer({
        source: () => chunked(readFileSync(file)),
        compression: 'none',
        output,
        options: quickOptions,
        lower: lookupIn(index === 0 ? undefined : merged),
      });
      const mount = `${directory}/${index}`;
      mkdirSync(mount);
      run('mount', '-t', 'squashfs', '-o', 'loop,ro', output, mount);
      mounts.unshift(mount);
      if (index > 0) run('umount', merged);
      if (index === 0) run('mount', '--bind', mount, merged);
      else run('mount', '-t', 'overlay', '-o', `ro,userxattr,lowerdir=${mounts.join(':')}`, 'overlay', merged);
    }
    umoci('unpack', '--image', `${layout}:t`, `${directory}/bundle`);
    expect(comparable(merged)).toEqual(comparable(`${directory}/bundle/rootfs`));
  } finally {
    run('umount', merged);
    for (const mount of mounts) run('umount', mount);
  }
});

/** Times of directories and attributes of the root differ between unpackers. */
function comparable(root: string): Record<string, string> {
  const { '.': _, ...tree } = hostTree(root);
  for (const [name, text] of Object.entries(tree)) {
    if (text.startsWith('d ')) tree[name] = text.replace(/ @\d+.*/, '');
  }
  return tree;
}

/** A lower tree as the host sees it mounted. */
function lookupIn(root: string | undefined): LowerContent {
  const lookup = async (at: string): Promise<LowerNode | undefined> => {
    const stats = root === undefined ? undefined : lstatSync(path.join(root, at), { throwIfNoEntry: false });
    if (!stats) return undefined;
    if (stats.isSymbolicLink()) return { type: 'symlink', target: readlinkSync(path.join(root!, at)) };
    if (!stats.isDirectory()) return { type: 'other' };
    const { uid, gid } = stats;
    return {
      type: 'directory',
      attributes: { mode: stats.mode & 0o7777, uid, gid, mtimeSeconds: 0, xattrs: new Map() },
    };
  };
  return { ...emptyLower, lookup, isDirectory: async at => (await lookup(at))?.type === 'directory' };
}
