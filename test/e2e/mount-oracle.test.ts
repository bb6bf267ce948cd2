import { chmod, lchown, link, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { packDirectory, writeImage, type HandmadeLayer } from '../rig/squashfs-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { differences, listDirectory, type TreeListing } from '../rig/tree-listing.ts';

requires('root', 'kernel-squashfs', 'fuse', 'tool:umoci', 'tool:setfattr', 'tool:setcap', 'tool:squashfuse_ll');

const TAR = 'application/vnd.oci.image.layer.v1.tar';

type Change =
  | { readonly op: 'file'; readonly text: string; readonly mode: number; readonly uid: number }
  | { readonly op: 'directory'; readonly mode: number }
  | { readonly op: 'opaque' }
  | { readonly op: 'symlink'; readonly target: string }
  | { readonly op: 'device'; readonly kind: 'c' | 'b' | 'p' }
  | { readonly op: 'hardlink' | 'whiteout' | 'xattr' | 'capability' };

const names = fc.constantFrom('a', 'b', 'c', 'é ü', '.hid');
const places = fc.array(names, { minLength: 1, maxLength: 3 }).map(parts => parts.join('/'));
const changes: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('file' as const),
      text: fc.string({ maxLength: 9 }),
      mode: fc.constantFrom(0o644, 0o600, 0o4755, 0o2711),
      uid: fc.constantFrom(0, 7, 65_534),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant('directory' as const), mode: fc.constantFrom(0o755, 0o700, 0o1777) }),
  },
  { weight: 2, arbitrary: fc.constant({ op: 'opaque' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('symlink' as const),
      target: fc.constantFrom('a', '/etc/passwd', '../../x'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('device' as const),
      kind: fc.constantFrom('c' as const, 'b' as const, 'p' as const),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constantFrom('hardlink' as const, 'whiteout' as const, 'xattr' as const, 'capability' as const),
    }),
  },
);
const layer = fc.array(fc.tuple(places, changes), { minLength: 1, maxLength: 9 });
const stacks = fc.array(layer, { minLength: 1, maxLength: 4 });

/** What the layers below a new one show: the type at each path. */
type Merged = Map<string, 'directory' | 'other'>;

/**
 * Writes a layer in overlayfs's own form and as the tree of an OCI tar, side by side. A whiteout or opaque mark is only
 * made where something lies below, as overlayfs itself does.
 */
async function writeLayer(below: Merged, list: readonly (readonly [string, Change])[], overlay: string, tar: string) {
  const own: Merged = new Map();
  const files: string[] = [];
  const opaque = new Set<string>();
  const removed = new Set<string>();
  const both = async (work: (root: string) => Promise<unknown>) => {
    await work(overlay);
    await work(tar);
  };
  const hidden = (place: string) =>
    [...opaque, ...removed].some(top => place.startsWith(`${top}/`)) || removed.has(place);
  const parents = async (place: string): Promise<boolean> => {
    const parent = path.posix.dirname(place);
    if (parent === '.') return true;
    if (own.get(parent) === 'directory') return true;
    if (own.has(parent) || removed.has(parent) || !(await parents(parent))) return false;
    // What is no directory below is replaced by one: in both forms the new directory hides it.
    await both(root => mkdir(path.join(root, parent)));
    await both(root => chmod(path.join(root, parent), 0o755));
    own.set(parent, 'directory');
    return true;
  };
  for (const [place, change] of list) {
    if (own.has(place) || removed.has(place) || !(await parents(place))) continue;
    const there = hidden(place) ? undefined : below.get(place);
    switch (change.op) {
      case 'whiteout':
        if (there === undefined) continue;
        await execa('mknod', [path.join(overlay, place), 'c', '0', '0']);
        await writeFile(path.join(tar, path.posix.dirname(place), `.wh.${path.posix.basename(place)}`), '');
        removed.add(place);
        continue;
      case 'opaque':
        if (there !== 'directory') continue;
        await both(root => mkdir(path.join(root, place)));
        await execa('setfattr', ['-n', 'user.overlay.opaque', '-v', 'y', path.join(overlay, place)]);
        await writeFile(path.join(tar, place, '.wh..wh..opq'), '');
        opaque.add(place);
        own.set(place, 'directory');
        continue;
      case 'directory':
        await both(root => mkdir(path.join(root, place)));
        await both(root => chmod(path.join(root, place), change.mode));
        own.set(place, 'directory');
        continue;
      case 'symlink':
        await both(root => symlink(change.target, path.join(root, place)));
        break;
      case 'device':
        await both(root =>
          execa('mknod', [path.join(root, place), change.kind, ...(change.kind === 'p' ? [] : ['7', '3'])]),
        );
        break;
      case 'hardlink': {
        const [first] = files;
        if (first === undefined) continue;
        await both(root => link(path.join(root, first), path.join(root, place)));
        break;
      }
      default:
        await both(root => writeFile(path.join(root, place), change.op === 'file' ? change.text : change.op));
        if (change.op === 'file') await both(root => lchown(path.join(root, place), change.uid, 3));
        await both(root => chmod(path.join(root, place), change.op === 'file' ? change.mode : 0o755));
        if (change.op === 'xattr')
          await both(root => execa('setfattr', ['-n', 'user.note', '-v', 'x', path.join(root, place)]));
        if (change.op === 'capability') await both(root => execa('setcap', ['cap_net_raw+ep', path.join(root, place)]));
        files.push(place);
    }
    own.set(place, 'other');
  }
  for (const place of below.keys()) if (hidden(place)) below.delete(place);
  for (const [place, type] of own) {
    if (type === 'other' || below.get(place) === 'other')
      for (const inner of below.keys()) if (inner.startsWith(`${place}/`)) below.delete(inner);
    below.set(place, type);
  }
}

/**
 * squashfuse before 0.2 lists names of security attributes as trusted ones and the other way about (it looks them up by
 * the right name all the same).
 */
function named(listing: TreeListing): TreeListing {
  return new Map(
    [...listing].map(([name, text]) => [name, text.replace('trusted.capability=', 'security.capability=')]),
  );
}

it.each([['kernel'], ['fuse']])('what %s mounts is what umoci unpacks of the same layers as tar', async engine => {
  await fc.assert(
    fc.asyncProperty(stacks, async stack => {
      await using rig = await StkRig.open({ as: 'root' });
      const merged: Merged = new Map();
      const squashed: HandmadeLayer[] = [];
      const tars: HandmadeLayer[] = [];
      for (const [index, list] of stack.entries()) {
        const [overlay, tar] = [rig.path(`layer-${index}`), rig.path(`tar-${index}`)];
        await mkdir(overlay);
        await mkdir(tar);
        await writeLayer(merged, list, overlay, tar);
        squashed.push({ bytes: await packDirectory(overlay) });
        const packed = await execa(
          'tar',
          ['--xattrs', '--xattrs-include=*', '--format=pax', '--numeric-owner', '-C', tar, '-cf', '-', '.'],
          { encoding: 'buffer' },
        );
        tars.push({ bytes: packed.stdout, mediaType: TAR });
      }
      await writeImage(rig.path('oci'), 'app', squashed);
      await writeImage(rig.path('tars'), 'app', tars);
      await execa('umoci', ['unpack', '--image', `${rig.path('tars')}:app`, rig.path('bundle')]);
      await rig.ok(['mount', 'app', 'm', `--${engine}`]);
      try {
        const [mounted, unpacked] = [
          await listDirectory(rig.path('m')),
          await listDirectory(rig.path('bundle/rootfs')),
        ];
        expect(differences(engine === 'fuse' ? named(mounted) : mounted, unpacked, /^$/)).toEqual([]);
      } finally {
        await rig.ok(['umount', 'm']);
      }
    }),
    { numRuns: Number(process.env['STK_PROPERTY_RUNS'] ?? 12), interruptAfterTimeLimit: 90_000 },
  );
});
