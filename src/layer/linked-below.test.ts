import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  convertTar,
  hostTree,
  run,
  tarOf,
  temporaryDirectory,
  type EntrySketch,
} from '../../test/fixtures/layer-trees.ts';
import { openImage } from '../../test/fixtures/squashfs-images.ts';
import { requires } from '../../test/rig/gates.ts';
import type { AbsPath } from '../core/paths.ts';
import { LayerStack } from '../squashfs/layer-stack.ts';
import { leafInStack } from './lower-leaf.ts';
import type { LowerContent } from './lower-tree.ts';
import { storedBytes } from './tar-entry.ts';
import { lookupInStack } from './stack-lookup.ts';
import type { ConvertTarRequest } from './tar-to-squashfs.ts';

requires('root', 'kernel-squashfs', 'overlay', 'tool:tar2sqfs', 'tool:umoci', 'tool:getfattr', 'tool:truncate');

const directory = temporaryDirectory();
const layout = `${directory}/layout`;
const lowFile = `${directory}/low.sqfs` as AbsPath;
const upFile = `${directory}/up.sqfs` as AbsPath;
const places = { low: `${directory}/low`, up: `${directory}/up`, merged: `${directory}/merged` };

const h = (path: string, linkPath: string): EntrySketch => ({ path, type: 'hardlink', linkPath });
const d = (path: string, mode = 0o755): EntrySketch => ({ path, type: 'directory', mode });

/** What the lower layer has, in a directory of its own if there is a name for it. */
const below = (root = ''): readonly EntrySketch[] => [
  d('etc'),
  { path: 'etc/f', content: 'F', mode: 0o4640, uid: 5, gid: 6, xattrs: new Map([['user.a', Buffer.from('1')]]) },
  { path: 'etc/s', type: 'symlink', linkPath: 'f', mode: 0o777 },
  { path: 'etc/empty' },
  { path: 'char', type: 'char', deviceMajor: 1, deviceMinor: 3, mode: 0o666 },
  { path: 'block', type: 'block', deviceMajor: 7, deviceMinor: 9 },
  { path: 'pipe', type: 'fifo', uid: 3 },
  { path: 'lib', type: 'symlink', linkPath: 'etc', mode: 0o777 },
  { path: 'out', type: 'symlink', linkPath: `../../../${root}/etc`, mode: 0o777 },
  { path: 'loop', type: 'symlink', linkPath: 'loop', mode: 0o777 },
  d('d', 0o711),
  { path: 'd/x', content: 'X' },
  { path: 'd/large', content: 'large '.repeat(60_000) },
  { path: 'one', content: 'one' },
  h('two', 'one'),
];

/** By what the link leads to: each in a directory that has the lower layer's files. */
const cases: readonly (readonly [string, readonly EntrySketch[]])[] = [
  ['a file', [h('h', 'etc/f')]],
  ['a file, by a name with dots and slashes', [h('./a/h', './etc//./f')]],
  ['a file without content', [h('h', 'etc/empty')]],
  ['a file of several blocks', [h('h', 'd/large')]],
  ['a symlink, not what it leads to', [h('h', 'etc/s')]],
  ['devices and a pipe', [h('hc', 'char'), h('hb', 'block'), h('hp', 'pipe')]],
  ['a file beyond a symlink', [h('h', 'lib/f')]],
  ['a file beyond a symlink that climbs over the root', [h('h', 'out/f')]],
  ['a file, beside other entries', [{ path: 'new', content: 'n' }, h('etc/h', 'etc/f'), { path: 'etc/g' }]],
  ['a file whose directory gets other attributes', [h('h', 'd/x'), d('d', 0o700)]],
  ['a file, twice', [h('h', 'etc/f'), h('h', 'etc/f')]],
  ['a link to a link', [h('h', 'etc/f'), h('i', 'h'), h('j', 'etc/f')]],
  ['both names of a file', [h('h', 'one'), h('i', 'two')]],
  ['a file, over another one', [h('etc/f', 'd/x')]],
  ['a file, over a directory', [h('d', 'etc/f')]],
  ['a file that the layer deletes afterwards', [h('h', 'etc/f'), { path: 'etc/.wh.f' }]],
  ['a file whose directory is deleted afterwards', [h('h', 'd/x'), { path: '.wh.d' }]],
  ['a file whose directory is deleted, but for the link', [h('d/h', 'd/x'), { path: '.wh.d' }]],
  ['a file whose directory becomes opaque', [h('d/h', 'd/x'), { path: 'd/.wh..wh..opq' }]],
  ['a file that is replaced afterwards', [h('h', 'etc/f'), { path: 'etc/f', content: 'new' }]],
  ['a file that is deleted and comes back', [h('h', 'etc/f'), { path: 'etc/.wh.f' }, { path: 'etc/f', content: 'n' }]],
  ['a symlink, and a path through it', [h('h', 'lib'), { path: 'h/g', content: 'G' }]],
];

/** Entries in a directory; symlinks stay as they are. */
function inside(name: string, entries: readonly EntrySketch[]): readonly EntrySketch[] {
  const moved = entries.map(entry => ({
    ...entry,
    path: `${name}/${entry.path}`,
    ...(entry.type === 'hardlink' ? { linkPath: `${name}/${entry.linkPath}` } : {}),
  }));
  return [d(name), ...moved];
}

const stacks: LayerStack[] = [];
afterAll(async () => {
  for (const stack of stacks) await stack[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const umoci = (...args: readonly string[]) => execFileSync('umoci', args, { stdio: 'pipe' });

/** The layers of files, from the bottom up, as something that a layer can be put on. */
async function stackOf(...files: readonly string[]): Promise<LowerContent> {
  const stack = new LayerStack(await Promise.all(files.map(file => openImage(file))));
  stacks.push(stack);
  return {
    lookup: path => lookupInStack(stack, path),
    leaf: path => leafInStack(stack, path),
    isDirectory: async path => (await lookupInStack(stack, path))?.type === 'directory',
  };
}

let lower: LowerContent;
beforeAll(async () => {
  for (const place of Object.values(places)) mkdirSync(place);
  const bytes = tarOf(...below(), ...cases.flatMap(([name]) => inside(name, below(name))));
  writeFileSync(`${directory}/low.tar`, bytes);
  umoci('init', '--layout', layout);
  umoci('new', '--image', `${layout}:low`);
  umoci('raw', 'add-layer', '--image', `${layout}:low`, `${directory}/low.tar`);
  await convertTar(bytes, lowFile);
  lower = await stackOf(lowFile);
});

const convert = (entries: readonly EntrySketch[], more: Partial<ConvertTarRequest> = {}) =>
  convertTar(tarOf(...entries), upFile, { lower, ...more });

/** What umoci unpacks of the two layers. */
function unpacked(entries: readonly EntrySketch[]): Record<string, string> {
  const bundle = `${directory}/bundle`;
  rmSync(bundle, { recursive: true, force: true });
  writeFileSync(`${directory}/up.tar`, tarOf(...entries));
  umoci('raw', 'add-layer', '--image', `${layout}:low`, '--tag', 'up', `${directory}/up.tar`);
  umoci('unpack', '--image', `${layout}:up`, bundle);
  return comparable(`${bundle}/rootfs`);
}

/** What the kernel shows of the layers as they were converted. */
function mounted(): Record<string, string> {
  const { low, up, merged } = places;
  const undo: string[] = [];
  try {
    for (const [file, at] of [[lowFile, low] as const, [upFile, up] as const]) {
      run('mount', '-t', 'squashfs', '-o', 'loop,ro', file, at);
      undo.unshift(at);
    }
    run('mount', '-t', 'overlay', '-o', `ro,userxattr,lowerdir=${up}:${low}`, 'overlay', merged);
    undo.unshift(merged);
    return comparable(merged);
  } finally {
    for (const at of undo) run('umount', at);
  }
}

/** Times of directories, and attributes of the root, differ between unpackers. */
function comparable(root: string): Record<string, string> {
  const { '.': _, ...tree } = hostTree(root);
  for (const [name, text] of Object.entries(tree)) {
    if (text.startsWith('d ')) tree[name] = text.replace(/ @\d+.*/, '');
  }
  return tree;
}

describe('a hard link to what a lower layer has', () => {
  it('is what umoci makes of it', async () => {
    const entries = cases.flatMap(([name, sketches]) => inside(name, sketches));
    await convert(entries);
    expect(mounted()).toEqual(unpacked(entries));
  });

  it('makes the layer depend on those below', async () => {
    expect(await convert([h('h', 'etc/f')])).toMatchObject({ dependsOnLower: true });
    expect(await convert([{ path: 'f' }, h('h', 'f')])).toMatchObject({ dependsOnLower: false });
  });

  it('brings both names along, as overlayfs copies a file up', async () => {
    const { tree } = await convert([h('h', 'd/x')]);
    expect(Object.keys(tree)).toEqual(['.', './d', './d/x', './h']);
    expect(tree['./d']).toBe('d 711 0:0 @1000000000');
    expect(tree['./h']).toContain('= ./d/x');
  });

  it('keeps holes', async () => {
    const root = `${directory}/sparse`;
    mkdirSync(root);
    run('truncate', '-s', '20M', `${root}/hole`, `${root}/end`, `${root}/begin`, `${root}/middle`);
    writeFileSync(`${root}/end`, 'begin', { flag: 'r+' });
    run('sh', '-c', `printf tail >> ${root}/begin; printf x | dd of=${root}/middle bs=1M seek=9 conv=notrunc`);
    const image = `${directory}/sparse.sqfs`;
    run('mksquashfs', root, image, '-no-progress', '-noappend', '-comp', 'zstd');
    const names = ['begin', 'end', 'hole', 'middle'];
    const links = names.map(name => h(`${name}-link`, name));
    const sparse = await stackOf(image);
    const { tree, sizeBytes } = await convert(links, { lower: sparse });
    const expected = hostTree(root);
    for (const name of names) {
      expect(tree[`./${name}`]).toBe(expected[`./${name}`]);
      expect(tree[`./${name}-link`]).toContain(`= ./${name}`);
    }
    expect(sizeBytes).toBeLessThan(64 * 1024);
    const stored = await Promise.all(names.map(async name => (await sparse.leaf(name))!.entry()));
    expect(stored.map(storedBytes)).toEqual([4, 131_072, 0, 131_072]);
  });

  it.each<[string, readonly EntrySketch[]]>([
    ['that the layer has deleted', [{ path: 'etc/.wh.f' }, h('h', 'etc/f')]],
    ['in a directory that the layer has deleted', [{ path: '.wh.etc' }, h('h', 'etc/f')]],
    ['in a directory that the layer has made opaque', [{ path: 'etc/.wh..wh..opq' }, h('h', 'etc/f')]],
    ['in place of a directory that the layer has for a file', [{ path: 'etc' }, h('h', 'etc/f')]],
    ['that is the link itself', [h('etc/f', 'etc/f')]],
    ['that is the link itself, beyond a symlink', [h('etc/f', 'lib/f')]],
    ['that is a directory', [h('h', 'etc')]],
    ['that is a directory beyond a symlink', [h('h', 'out/../etc')]],
    ['beyond symlinks in a circle', [h('h', 'loop/f')]],
    ['that is nowhere', [h('h', 'etc/nothing')]],
    ['above the root', [h('h', '../etc/f')]],
  ])('%s is refused', async (_, entries) => {
    await expect(convert(entries)).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('counts for the limit on content, once for each file', async () => {
    const content = { maxContentBytes: 5 };
    await convert([h('h', 'one'), h('i', 'two'), h('j', 'h'), h('k', 'etc/f')], content);
    await expect(
      convert([h('h', 'd/x'), h('i', 'one'), h('j', 'etc/f'), h('k', 'd/large')], content),
    ).rejects.toMatchObject({
      code: 'invalid-input',
    });
  });
});

it('files among pseudo-links of AUFS are what hard links to them lead to', async () => {
  const { tree } = await convert([
    d('.wh..wh.plnk', 0o700),
    { path: '.wh..wh.plnk/12.34', content: 'linked', uid: 7 },
    { path: '.wh..wh.plnk/56.78', content: 'nobody links this' },
    { path: 'a', content: 'a' },
    h('.wh..wh.plnk/90.12', 'a'),
    h('bin/one', '.wh..wh.plnk/12.34'),
    h('bin/two', './.wh..wh.plnk/12.34'),
    h('b', '.wh..wh.plnk/90.12'),
    { path: '.wh..wh.aufs' },
  ]);
  expect(Object.keys(tree)).toEqual(['.', './a', './b', './bin', './bin/one', './bin/two']);
  expect(tree['./bin/one']).toMatch(/^f 644 7:0 /);
  expect(tree['./bin/two']).toContain('= ./bin/one');
  expect(tree['./b']).toContain('= ./a');
  expect(run('unsquashfs', '-cat', upFile, 'bin/two')).toBe('linked');
});

it('a link to a missing file among pseudo-links is refused', () =>
  expect(convert([h('h', '.wh..wh.plnk/1.2')])).rejects.toMatchObject({ code: 'invalid-input' }));
