import { open, readdir, rm } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { SQUASHFS, packFile, withVerity, writeImage, type HandmadeLayer } from '../rig/squashfs-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { blobPath, readManifest } from '../rig/tree-listing.ts';

const ATOMFS_ROOT = 'io.stackeroci.stacker.atomfs_verity_root_hash';
const SQUASHFS_ROOT = 'io.stackeroci.stacker.squashfs_verity_root_hash';
const EXIT = { capability: 6, integrity: 7, notFound: 8, input: 9 } as const;

describe('layers that cannot be mounted', () => {
  requires('user', 'fuse', 'tool:fuse-overlayfs', 'tool:squashfuse_ll');

  it.each<[string, (good: Buffer) => HandmadeLayer, number, RegExp]>([
    [
      'a tar layer',
      bytes => ({ bytes, mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' }),
      EXIT.input,
      /tar layer[^]*stk convert/,
    ],
    [
      'an unknown layer',
      bytes => ({ bytes, mediaType: 'application/x-erofs' }),
      EXIT.input,
      /unknown type application\/x-erofs/,
    ],
    ['a size too large', bytes => ({ bytes, size: bytes.length + 1 }), EXIT.integrity, /bytes long, not/],
    ['a size too small', bytes => ({ bytes, size: 96 }), EXIT.integrity, /bytes long, not/],
    ['a size beyond all', bytes => ({ bytes, size: Number.MAX_SAFE_INTEGER }), EXIT.integrity, /bytes long, not/],
    ['no squashfs at all', () => ({ bytes: Buffer.alloc(8192, 7) }), EXIT.input, /not a valid squashfs/],
    ['an empty blob', () => ({ bytes: Buffer.alloc(0) }), EXIT.input, /not a valid squashfs/],
    ['a truncated image', good => ({ bytes: good.subarray(0, 200) }), EXIT.input, /not a valid squashfs/],
    [
      'another compression',
      bytes => ({ bytes, mediaType: `${SQUASHFS}+zstd` }),
      EXIT.input,
      /says zstd, its bytes are gzip/,
    ],
    [
      'a bad root hash',
      bytes => ({ bytes, annotations: { [ATOMFS_ROOT]: '../x' } }),
      EXIT.input,
      /bad verity root hash/,
    ],
    [
      'two root hashes',
      bytes => ({ bytes, annotations: { [ATOMFS_ROOT]: 'a'.repeat(64), [SQUASHFS_ROOT]: 'b'.repeat(64) } }),
      EXIT.input,
      /bad verity root hash/,
    ],
    [
      'a root hash without a tree',
      good => ({ bytes: trimmed(good), annotations: { [ATOMFS_ROOT]: 'a'.repeat(64) } }),
      EXIT.integrity,
      /no verity tree/,
    ],
  ])('%s', async (_name, make, exitCode, text) => {
    await using rig = await StkRig.open({ as: 'user' });
    const good = await packFile('file', 'content');
    await writeImage(rig.path('oci'), 'app', [{ bytes: good }, make(good)]);
    const refused = await rig.stk(['mount', 'app', 'm']);
    expect(refused.stderr).toMatch(text);
    expect(refused.exitCode).toBe(exitCode);
    expect(await readdir(rig.directory)).not.toContain('m');
    expect(JSON.parse(await rig.ok(['mounts', '--json']))).toEqual({ mounts: [], strays: [] });
  });

  it('an image without layers, and one whose blob is gone', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    await writeImage(rig.path('oci'), 'empty', []);
    expect((await rig.stk(['mount', 'empty', 'm'])).exitCode).toBe(EXIT.input);
    await writeImage(rig.path('oci'), 'app', [{ bytes: await packFile('file', 'x') }]);
    const [layer] = (await readManifest(rig.path('oci'), 'app')).layers;
    await rm(blobPath(rig.path('oci'), layer!.digest));
    expect((await rig.stk(['mount', 'app', 'm'])).exitCode).toBe(EXIT.notFound);
    expect((await rig.stk(['mount', 'nobody', 'm'])).exitCode).toBe(EXIT.notFound);
    expect(await readdir(rig.directory)).not.toContain('m');
  });

  it('a superblock that promises what the bytes do not hold leaves nothing behind', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    const bytes = await packFile('file', 'content');
    // The inode table's own bytes: squashfuse refuses it after the superblock has passed.
    bytes.fill(0xff, Number(bytes.readBigUInt64LE(64)), Number(bytes.readBigUInt64LE(72)));
    await writeImage(rig.path('oci'), 'app', [{ bytes: await packFile('base', 'x') }, { bytes }]);
    const refused = await rig.stk(['mount', 'app', 'm']);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).not.toContain('internal error');
    expect(await readdir(rig.directory)).not.toContain('m');
    expect(JSON.parse(await rig.ok(['mounts', '--json']))).toEqual({ mounts: [], strays: [] });
  });

  it('layers that shadow /proc and lead out of the image are just files', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    const layers = [await packFile('proc/self/status', 'mine'), await packFile('proc/1/root', 'mine too')];
    await writeImage(
      rig.path('oci'),
      'app',
      layers.map(bytes => ({ bytes })),
    );
    await rig.ok(['mount', 'app', 'm']);
    await rig.ok(['umount', 'm']);
  });
});

describe('atomfs images', () => {
  requires('user', 'fuse', 'tool:fuse-overlayfs', 'tool:squashfuse_ll', 'tool:veritysetup');

  it.each([
    ['no suffix', 'gzip', '', undefined],
    ['+gzip', 'gzip', '+gzip', ATOMFS_ROOT],
    ['+zstd', 'zstd', '+zstd', SQUASHFS_ROOT],
    ['+lz4', 'lz4', '+lz4', ATOMFS_ROOT],
    ['+xz', 'xz', '+xz', undefined],
  ])('%s', async (_name, compression, suffix, annotation) => {
    await using rig = await StkRig.open({ as: 'user' });
    const plain = await packFile('file', 'content', compression);
    const { bytes, root } = annotation ? await withVerity(plain) : { bytes: plain, root: '' };
    const layer = { bytes, mediaType: SQUASHFS + suffix, ...(annotation && { annotations: { [annotation]: root } }) };
    await writeImage(rig.path('oci'), 'app', [layer]);
    await rig.ok(['atomfs', 'mount', 'oci:oci:app', 'm']);
    await rig.ok(['atomfs', 'umount', 'm']);
    expect(await rig.ok(['atomfs', 'verify', 'app'])).toContain(`${annotation ? 1 : 0} of 1 layers`);
    const strict = await rig.stk(['mount', 'app', 'm', '--verify', 'require']);
    // Where nothing on the host can check while reading, the refusal says so instead of mounting unchecked.
    if (!annotation) expect(strict.exitCode).toBe(EXIT.integrity);
    else if (strict.exitCode === 0) await rig.ok(['umount', 'm']);
    else expect(strict.exitCode).toBe(EXIT.capability);
  });
});

describe('verify', () => {
  requires('tool:veritysetup');

  it.each<[string, (size: number) => number]>([
    ['data', () => 100],
    ['the hash tree', size => size - 8],
  ])('finds one changed byte in %s', async (_name, place) => {
    await using rig = await StkRig.open();
    const { bytes, root } = await withVerity(await packFile('file', 'x'.repeat(300_000)));
    await writeImage(rig.path('oci'), 'app', [{ bytes, annotations: { [ATOMFS_ROOT]: root } }]);
    await rig.ok(['verify', 'app']);
    const [layer] = (await readManifest(rig.path('oci'), 'app')).layers;
    const file = await open(blobPath(rig.path('oci'), layer!.digest), 'r+');
    await file.write(Buffer.from([0x5a]), 0, 1, place(bytes.length));
    await file.close();
    expect((await rig.stk(['verify', 'app'])).exitCode).toBe(EXIT.integrity);
  });

  it('finds a tree that another root hash is claimed of', async () => {
    await using rig = await StkRig.open();
    const { bytes } = await withVerity(await packFile('file', 'x'));
    await writeImage(rig.path('oci'), 'app', [{ bytes, annotations: { [ATOMFS_ROOT]: 'a'.repeat(64) } }]);
    expect((await rig.stk(['verify', 'app'])).exitCode).toBe(EXIT.integrity);
  });
});

/** Without the padding that leaves room for a superblock of verity. */
function trimmed(image: Buffer): Buffer {
  return image.subarray(0, Number(image.readBigUInt64LE(40)));
}
