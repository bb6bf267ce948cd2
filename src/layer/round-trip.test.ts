import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import {
  chunked,
  hostTree,
  imageTree,
  quickOptions,
  run,
  temporaryDirectory,
} from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import type { AbsPath } from '../core/paths.ts';
import { emptyLower, type LowerLookup } from './lower-tree.ts';
import { packLayer } from './pack.ts';
import { convertSquashfsLayer } from './squashfs-to-tar.ts';
import { convertTarLayer } from './tar-to-squashfs.ts';

requires('root', 'kernel-squashfs', 'tool:mksquashfs', 'tool:tar2sqfs', 'tool:sqfs2tar', 'tool:setfattr');

const directory = temporaryDirectory();
afterAll(() => directory[Symbol.dispose]());

const name = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .map(bytes => Buffer.from(bytes.map(byte => (byte === 0 || byte === 0x2f ? 0x2d : byte))))
  .filter(bytes => !/^(\.{1,2}|\.wh\..*)$/s.test(bytes.toString('latin1')));
const node = fc.record({
  parent: fc.nat(5),
  name,
  kind: fc.constantFrom('file', 'directory', 'symlink', 'link', 'fifo', 'device', 'whiteout', 'sparse', 'opaque'),
  mode: fc.nat(0o7777),
  owner: fc.constantFrom(0, 7, 65_534, 100_000),
  time: fc.nat(2 ** 31 - 1),
  sizeBytes: fc.nat(300_000),
  xattr: fc.option(fc.uint8Array({ minLength: 1, maxLength: 200 })),
});
type Node = typeof node extends fc.Arbitrary<infer T> ? T : never;

/** Makes a tree of nodes; those whose name is taken are left out. */
function makeTree(root: string, nodes: readonly Node[]): void {
  mkdirSync(root);
  const directories = [Buffer.from(root)];
  const files: Buffer[] = [];
  const made: { readonly path: Buffer; readonly node: Node }[] = [];
  const names = new Set<string>();
  for (const each of nodes) {
    const parent = directories[each.parent % directories.length]!;
    const path = Buffer.concat([parent, Buffer.from('/'), each.name]);
    const { kind } = each;
    if (names.has(path.toString('latin1')) || (kind === 'link' && files.length === 0)) continue;
    names.add(path.toString('latin1'));
    if (kind === 'link') linkSync(files[0]!, path);
    else if (kind === 'symlink') symlinkSync(each.name, path);
    else if (kind === 'directory' || kind === 'opaque') directories.push(path);
    else if (kind === 'fifo' || kind === 'device' || kind === 'whiteout') special(path, kind);
    else {
      writeFileSync(path, Buffer.alloc(kind === 'sparse' ? 0 : each.sizeBytes, each.name));
      if (kind === 'sparse') withPath(path, `truncate -s ${each.sizeBytes * 10} -- "$0"`);
      files.push(path);
    }
    if (kind === 'directory' || kind === 'opaque') mkdirSync(path);
    if (kind !== 'link') made.push({ path, node: each });
  }
  for (const { path, node } of made.toReversed()) decorate(path, node);
  lutimesSync(root, 5, 5);
}

function special(path: Buffer, kind: 'fifo' | 'device' | 'whiteout'): void {
  const args = kind === 'fifo' ? ['p'] : ['c', ...(kind === 'device' ? ['1', '3'] : ['0', '0'])];
  withPath(path, `mknod -- "$0" ${args.join(' ')}`);
}

function decorate(path: Buffer, { kind, mode, owner, time, xattr }: Node): void {
  if (kind !== 'whiteout') lchownSync(path, owner, owner);
  if (kind !== 'symlink' && kind !== 'whiteout') chmodSync(path, mode);
  const takesXattrs = kind === 'file' || kind === 'directory' || kind === 'opaque';
  if (xattr && takesXattrs) withPath(path, `setfattr -n user.test -v 0x${Buffer.from(xattr).toString('hex')} -- "$0"`);
  if (kind === 'opaque') withPath(path, 'setfattr -n user.overlay.opaque -v y -- "$0"');
  lutimesSync(path, time, time);
}

/** Runs a shell command on a path of any bytes, which an argument could not hold. */
function withPath(path: Buffer, command: string): void {
  execFileSync('xargs', ['-0', 'sh', '-ec', command], { input: Buffer.concat([path, Buffer.of(0)]), stdio: 'pipe' });
}

const everywhere: LowerLookup = { ...emptyLower, isDirectory: async () => true };

it('any tree, packed, mounted, as tar and back, is the same tree', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(node, { minLength: 1, maxLength: 12 }), async nodes => {
      const [upper, image, tar, back] = ['upper', 'image', 'tar', 'back'].map(
        each => `${directory}/${each}` as AbsPath,
      );
      run('rm', '-rf', upper!, image!, tar!, back!);
      makeTree(upper!, nodes);
      const expected = hostTree(upper!);
      fc.pre(Object.keys(expected).length > 1);
      const layer = await packLayer({
        upper: upper!,
        lower: everywhere,
        output: image!,
        options: { ...quickOptions, verity: true },
      });
      const inodes = Object.values(expected).filter(text => !text.includes(' = ./'));
      expect(layer.entries).toBe(inodes.length - 1);
      expect(mountedTree(image!)).toEqual(expected);
      const { diffId } = await convertSquashfsLayer({ input: image!, output: tar!, compression: 'zstd' });
      const source = () => chunked(readFileSync(tar!));
      const request = { source, compression: 'zstd', output: back!, options: quickOptions, lower: emptyLower } as const;
      expect((await convertTarLayer(request)).diffId).toBe(diffId);
      expect(imageTree(back!)).toEqual(withPlainWhiteouts(expected));
    }),
    { numRuns: 15 },
  );
});

function mountedTree(image: string): Record<string, string> {
  using mount = temporaryDirectory();
  run('mount', '-t', 'squashfs', '-o', 'loop,ro', image, mount.toString());
  try {
    return hostTree(mount.toString());
  } finally {
    run('umount', mount.toString());
  }
}

/** A whiteout's own mode, owner and time have no place in a tar layer. */
function withPlainWhiteouts(tree: Record<string, string>): Record<string, string> {
  const plain = Object.entries(tree).map(([at, text]) => [at, /^c .* 0$/.test(text) ? 'c 0 0:0 @0 0' : text]);
  return Object.fromEntries(plain) as Record<string, string>;
}
