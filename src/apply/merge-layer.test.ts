import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { Layers, packing, withMergeLayer, type LayerContent } from '../../test/fixtures/merge-layers.ts';
import { scratch, tool } from '../../test/fixtures/squashfs-images.ts';
import { requires } from '../../test/rig/gates.ts';
import type { AbsPath } from '../core/paths.ts';
import { writeMergeLayer } from './merge-layer.ts';
import type { MergeProblem } from './merge-problem.ts';
import { mergeTrees } from './merge-trees.ts';

requires('root', 'overlay', 'kernel-squashfs', 'tool:getfattr');

const layers = new Layers();
const opaque = { directory: 'opaque' } as const;

/** What the kernel shows of layers, bottom first, without times: `find` and the files themselves. */
async function mounted(blobs: readonly Buffer[]): Promise<string[]> {
  await using scope = await scratch();
  const targets: string[] = [];
  try {
    for (const [index, blob] of blobs.entries()) {
      const at = path.join(scope.dir, `${index}`);
      fs.writeFileSync(`${at}.sqfs`, blob);
      fs.mkdirSync(at);
      await tool('mount', '-t', 'squashfs', '-o', 'ro,loop', `${at}.sqfs`, at);
      targets.push(at);
    }
    const merged = path.join(scope.dir, 'merged');
    fs.mkdirSync(merged);
    fs.mkdirSync(path.join(scope.dir, 'none'));
    const lower = [...targets.toReversed(), path.join(scope.dir, 'none')].join(':');
    await tool('mount', '-t', 'overlay', '-o', `ro,userxattr,lowerdir=${lower}`, 'overlay', merged);
    targets.push(merged);
    const list =
      'find . -mindepth 1 -printf "%P %y %m %U:%G %l\\0" | sort -z; find . -type f -print0 | sort -z | xargs -0r md5sum';
    const found = execFileSync('sh', [
      '-ec',
      `cd "$1"; ${list}; getfattr -Rhd -m user . 2>/dev/null || true`,
      'sh',
      merged,
    ]);
    return found.toString('latin1').split(/\0|\n/).toSorted();
  } finally {
    for (const at of targets.toReversed()) await tool('umount', at);
  }
}

const BASE: LayerContent = {
  'etc/f': 'old',
  'etc/g': { file: 'g', xattrs: { 'user.a': '1' } },
  'gone/a': 'a',
  'gone/b/c': 'c',
  'replaced/a': 'a',
  'replaced/b': 'b',
  link: { link: 'etc' },
  'kept/x': 'x',
};

const CASES: readonly (readonly [
  string,
  readonly (readonly LayerContent[])[],
  readonly LayerContent[],
  ('first' | 'last')?,
])[] = [
  [
    'files and attributes',
    [[{ 'etc/f': 'new' }], [{ 'etc/f': { file: 'old', mtime: 7 } }]],
    [BASE, { 'etc/f': 'new' }],
  ],
  [
    'extended attributes',
    [
      [{ 'etc/g': { file: 'g', mode: 0o600, xattrs: { 'user.a': '1' } } }],
      [{ 'etc/g': { file: 'h', xattrs: { 'user.a': '1' } } }],
    ],
    [BASE, { 'etc/g': { file: 'h', mode: 0o600, xattrs: { 'user.a': '1' } } }],
  ],
  [
    'a deleted directory over a copy of it',
    [[{ gone: null }], [{ 'gone/b/c': { file: 'c', mtime: 7 } }]],
    [BASE, { gone: null }],
  ],
  [
    'a directory again where the plain stack has a whiteout',
    [[{ 'gone/n/m': 'n' }], [{ gone: null }]],
    [BASE, { 'gone/n/m': 'n' }],
    'first',
  ],
  [
    'a directory again where the plain stack has a file',
    [[{ 'replaced/n': 'n' }], [{ replaced: 'file' }]],
    [BASE, { 'replaced/n': 'n' }],
    'first',
  ],
  [
    'a file where the plain stack has a directory',
    [[{ replaced: 'file' }], [{ 'replaced/n': 'n' }]],
    [BASE, { replaced: 'file' }],
    'first',
  ],
  [
    'a link where the plain stack has a directory',
    [[{ replaced: { link: 'kept' } }], [{ 'replaced/a': { file: 'a', mtime: 7 } }]],
    [BASE, { replaced: { link: 'kept' } }],
  ],
  [
    'what opaque directories hide',
    [[{ 'd/one/two': '1', kept: { directory: 'plain', mode: 0o700 } }], [{ d: opaque, 'd/three': '3' }]],
    [BASE, { 'd/one/two': '1', kept: { directory: 'plain', mode: 0o700 }, 'd/three': '3' }],
  ],
  [
    'an emptied directory',
    [[{ gone: opaque }], [{ 'gone/a': { file: 'a', mtime: 7 }, 'gone/b/c': { file: 'c', mtime: 7 } }]],
    [BASE, { gone: opaque }],
  ],
  [
    'names that are no text',
    [[{ 'a\nb/\xff': '1' }], [{ 'a\nb': opaque, 'a\nb/\xfe': '2' }]],
    [BASE, { 'a\nb/\xff': '1', 'a\nb/\xfe': '2' }],
  ],
];

function applied(own: readonly (readonly LayerContent[])[], rule?: 'first' | 'last'): Promise<MergeProblem> {
  const rules = rule ? { '/**': rule } : {};
  return layers.applied(
    [BASE],
    own.map((contents, index) => ({ name: `side${index}`, layers: contents, rules })),
  );
}

it.each(CASES.map(([name, own, wanted, rule]) => ({ name, own, wanted, rule })))(
  'the kernel shows what was merged: $name',
  async ({ own, wanted, rule }) => {
    const problem = await applied(own, rule);
    const result = await mergeTrees(problem, { drivers: [] });
    expect(result.conflicts).toEqual([]);
    const onTop = await withMergeLayer(problem, result);
    const plain = await Promise.all([BASE, ...own.flat()].map(content => layers.bytes(content)));
    const expected = await mounted(await Promise.all(wanted.map(content => layers.bytes(content))));
    expect(await mounted(plain)).not.toEqual(expected);
    expect(await mounted([...plain, onTop!.bytes])).toEqual(expected);
  },
);

it('the same merge gives the same bytes, no time later than the epoch', async () => {
  const big = Array.from({ length: 700_000 }, (_, index) => String.fromCharCode((index * index) % 251)).join('');
  const problem = await applied([
    [{ 'etc/f': { file: big, mtime: 9000 } }],
    [{ 'etc/f': { file: 'old', mtime: 9000 } }],
  ]);
  const result = await mergeTrees(problem, { drivers: [] });
  const [one, two] = [await withMergeLayer(problem, result), await withMergeLayer(problem, result)];
  expect(one!.bytes.equals(two!.bytes)).toBe(true);
  for await (const { node } of one!.stack.layers.at(-1)!.walk()) expect(node.mtime).toBeLessThanOrEqual(5000);
  const file = await one!.stack.lookup('etc/f');
  expect((await one!.stack.readFile(file!)).toString('latin1')).toBe(big);
});

it('a merge layer keeps the attributes of the root and of directories on the way', async () => {
  const own = [
    [{ '': { directory: 'plain', mode: 0o711, uid: 3 }, 'etc/f': 'new', etc: { directory: 'plain', uid: 9 } }],
    [
      {
        '': { directory: 'plain', mode: 0o711, uid: 3 },
        'etc/f': { file: 'old', mtime: 7 },
        etc: { directory: 'plain', uid: 9 },
      },
    ],
  ] as const;
  const problem = await applied(own);
  const onTop = await withMergeLayer(problem, await mergeTrees(problem, { drivers: [] }));
  const shown = async (at: string) => (await onTop!.stack.lookup(at))?.inode;
  expect(await shown('')).toMatchObject({ mode: 0o711, uid: 3 });
  expect(await shown('etc')).toMatchObject({ mode: 0o755, uid: 9 });
});

it('an interrupted layer leaves no file', async () => {
  await using scope = await scratch();
  const problem = await applied([[{ 'etc/f': 'new' }], [{ 'etc/f': { file: 'old', mtime: 7 } }]]);
  const result = await mergeTrees(problem, { drivers: [] });
  const output = path.join(scope.dir, 'layer') as AbsPath;
  const request = { result, problem, output, packing, signal: AbortSignal.abort() };
  await expect(writeMergeLayer(request)).rejects.toMatchObject({ code: 'interrupted' });
  expect(fs.existsSync(output)).toBe(false);
});
