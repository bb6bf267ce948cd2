import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { openImage, packDirectory, scratch, tool } from '../../test/fixtures/squashfs-images.ts';
import { requires } from '../../test/rig/gates.ts';
import { LayerStack } from './layer-stack.ts';

requires('root', 'tool:mksquashfs', 'tool:setfattr', 'overlay');

type Kind = 'file' | 'directory' | 'opaque' | 'whiteout' | 'link';
type Layer = readonly (readonly [path: string, kind: Kind])[];

/** Makes a layer's directory; what does not fit what is there already is left out. */
function writeLayer(dir: string, layer: Layer, content: string): void {
  fs.mkdirSync(dir);
  for (const [relative, kind] of layer) {
    const file = path.join(dir, relative);
    try {
      fs.mkdirSync(path.dirname(file), { recursive: true });
      if (kind === 'directory' || kind === 'opaque') fs.mkdirSync(file);
      if (kind === 'opaque') execFileSync('setfattr', ['-n', 'user.overlay.opaque', '-v', 'y', file]);
      if (kind === 'file') fs.writeFileSync(file, content, { flag: 'wx' });
      if (kind === 'link') fs.symlinkSync('/a/b', file);
      if (kind === 'whiteout') execFileSync('mknod', [file, 'c', '0', '0'], { stdio: 'ignore' });
    } catch {
      continue;
    }
  }
}

/** Packs layers (bottom first) and hands the stack, and an overlay mount of the same directories, to a check. */
async function withStack(
  layers: readonly Layer[],
  check: (stack: LayerStack, mounted: string) => Promise<void>,
): Promise<void> {
  await using scope = await scratch();
  const dirs = layers.map((_, i) => path.join(scope.dir, `${i}`));
  for (const [i, layer] of layers.entries()) writeLayer(dirs[i]!, layer, `layer ${i}`);
  const images = [];
  for (const dir of dirs) {
    await packDirectory(dir, `${dir}.sqfs`, '-comp', 'gzip', '-Xcompression-level', '1');
    images.push(await openImage(`${dir}.sqfs`));
  }
  await using stack = new LayerStack(images);
  const mounted = path.join(scope.dir, 'merged');
  const lower = dirs.toReversed().join(':');
  const more = layers.length === 1 ? `:${path.join(scope.dir, 'none')}` : '';
  fs.mkdirSync(mounted);
  fs.mkdirSync(path.join(scope.dir, 'none'));
  await tool('mount', '-t', 'overlay', '-o', `ro,userxattr,lowerdir=${lower}${more}`, 'overlay', mounted);
  try {
    await check(stack, mounted);
  } finally {
    await tool('umount', mounted);
  }
}

function listMounted(dir: string, relative = ''): string[] {
  return fs
    .readdirSync(path.join(dir, relative))
    .sort()
    .flatMap(name => {
      const child = relative === '' ? name : `${relative}/${name}`;
      // A whiteout that nothing merges with is still listed by the kernel, but is not there.
      const stat = fs.lstatSync(path.join(dir, child), { throwIfNoEntry: false });
      if (stat === undefined) return [];
      if (stat.isDirectory()) return [`${child}/`, ...listMounted(dir, child)];
      if (stat.isSymbolicLink()) return [`${child} -> ${fs.readlinkSync(path.join(dir, child))}`];
      return [`${child}: ${fs.readFileSync(path.join(dir, child), 'utf8')}`];
    });
}

async function listStack(stack: LayerStack): Promise<string[]> {
  const lines: string[] = [];
  for await (const { path, node } of stack.walk()) {
    const { inode } = node;
    if (path === '') continue;
    if (inode.type === 'directory') lines.push(`${path}/`);
    else if (inode.type === 'symlink') lines.push(`${path} -> ${inode.target}`);
    else lines.push(`${path}: ${(await stack.readFile(node)).toString()}`);
    expect((await stack.lookup(path))?.inode.ref).toBe(inode.ref);
    expect((await stack.lookup(path))?.layer).toBe(node.layer);
  }
  return lines;
}

it.each<[string, Layer[]]>([
  ['one layer', [[['a/b', 'file']]]],
  ['directories merge', [[['a/b', 'file']], [['a/c', 'file']], [['a/b', 'file']]]],
  ['a whiteout deletes', [[['a/b', 'file']], [['a/b', 'whiteout']]]],
  ['a whiteout deletes a directory', [[['a/b/c', 'file']], [['a/b', 'whiteout']]]],
  ['what was deleted is made again', [[['a', 'file']], [['a', 'whiteout']], [['a', 'file']]]],
  ['a directory over a whiteout', [[['a/b', 'file']], [['a', 'whiteout']], [['a/c', 'file']]]],
  [
    'an opaque directory hides',
    [
      [['a/b', 'file']],
      [
        ['a', 'opaque'],
        ['a/c', 'file'],
      ],
      [['a/d', 'file']],
    ],
  ],
  ['a file hides a directory', [[['a/b', 'file']], [['a', 'file']]]],
  ['a directory hides a file', [[['a', 'file']], [['a/b', 'file']]]],
  ['a directory over a file over a directory', [[['a/x', 'file']], [['a', 'file']], [['a/b', 'file']]]],
  ['a link hides a directory', [[['b/x', 'file']], [['b', 'link']]]],
  [
    'a whiteout of nothing',
    [
      [
        ['a', 'whiteout'],
        ['d/w', 'whiteout'],
      ],
    ],
  ],
])('%s as the kernel shows it', async (_, layers) => {
  await withStack(layers, async (stack, mounted) => expect(await listStack(stack)).toEqual(listMounted(mounted)));
});

it('random stacks are as the kernel shows them', async () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const where = fc.array(name, { minLength: 1, maxLength: 3 }).map(parts => parts.join('/'));
  const kind = fc.constantFrom<Kind>('file', 'file', 'directory', 'opaque', 'whiteout', 'link');
  const layer = fc.array(fc.tuple(where, kind), { minLength: 0, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(fc.array(layer, { minLength: 2, maxLength: 4 }), layers =>
      withStack(layers, async (stack, mounted) => expect(await listStack(stack)).toEqual(listMounted(mounted))),
    ),
    { numRuns: 25 },
  );
});

it('resolves links across layers', async () => {
  const layers: Layer[] = [
    [
      ['a/b', 'file'],
      ['x/link', 'link'],
    ],
    [
      ['a/b', 'whiteout'],
      ['x/other', 'file'],
    ],
    [
      ['a/b', 'file'],
      ['y', 'link'],
    ],
  ];
  await withStack(layers, async stack => {
    const found = await stack.resolve('x/../x/link');
    expect(found).toMatchObject({ path: 'a/b', node: { layer: 2 } });
    expect((await stack.resolve('y'))?.path).toBe('a/b');
    expect(await stack.resolve('y/none')).toBeUndefined();
    await expect(stack.readFile((await stack.lookup('x'))!)).rejects.toMatchObject({ code: 'invalid-input' });
  });
});
