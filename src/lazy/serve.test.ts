import { randomInt } from 'node:crypto';
import { mkdir, open, readFile, readdir, statfs, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { beforeAll, afterAll, describe, expect, it } from 'vitest';
import { FileServerRig, failingBlocks, gone, sha256File } from '../../test/rig/file-server.ts';
import { requires } from '../../test/rig/gates.ts';
import { findMount } from '../host/mount-table.ts';
import type { BlobToServe } from './serve-spec.ts';

const BLOCK = 4096;
const DATA = 300 * BLOCK;

async function umount(target: string, pid: number): Promise<void> {
  await execa('umount', [target]);
  await gone(pid);
}

describe('a server of files, as root', () => {
  requires('root', 'tool:veritysetup');
  let rig: FileServerRig;
  let blob: BlobToServe;
  beforeAll(async () => {
    rig = await FileServerRig.open();
    blob = await rig.blob('blob', DATA);
  });
  afterAll(() => rig[Symbol.asyncDispose]());

  it('serves what the hashes cover, byte for byte, and ends when it is unmounted', async () => {
    const plain = await rig.blob('plain', 5000 * BLOCK + 17 * BLOCK);
    const { verityRoot: _, ...whole } = { ...blob, name: 'whole' };
    const server = await rig.start([blob, plain, whole, { ...blob, name: 'unchecked', unchecked: true }]);
    expect((await readdir(server.target)).toSorted()).toEqual(['blob', 'plain', 'unchecked', 'whole']);
    expect(JSON.parse(await readFile(server.spec.stateFile, 'utf8'))).toMatchObject({ pid: server.pid });
    for (const [name, source, length] of [
      ['blob', blob.path, DATA],
      ['plain', plain.path, 5017 * BLOCK],
      ['whole', blob.path, blob.sizeBytes],
      ['unchecked', blob.path, blob.sizeBytes],
    ] as const) {
      await writeFile(rig.path('expected'), (await readFile(source)).subarray(0, length));
      expect(await sha256File(`${server.target}/${name}`), name).toBe(await sha256File(rig.path('expected')));
    }
    await umount(server.target, server.pid);
    await expect(readFile(server.spec.stateFile)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await server.logged('unmounted')).toHaveLength(1);
  });

  it('answers reads at any place and of any length', async () => {
    const server = await rig.start([blob]);
    const bytes = await readFile(blob.path);
    const file = await open(`${server.target}/blob`, 'r');
    for (let n = 0; n < 300; n++) {
      const [at, length] = [randomInt(DATA + 10), randomInt(1, 1 << 20)];
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, at);
      expect(bytesRead).toBe(Math.max(0, Math.min(length, DATA - at)));
      expect(buffer.subarray(0, bytesRead).equals(bytes.subarray(at, at + bytesRead))).toBe(true);
    }
    await file.close();
    const direct = await execa('dd', [`if=${server.target}/blob`, 'iflag=direct', 'bs=1M', 'status=none'], {
      encoding: 'buffer',
    });
    expect(Buffer.from(direct.stdout).equals(bytes.subarray(0, DATA))).toBe(true);
    await umount(server.target, server.pid);
  });

  it('serves 200 files, refuses names that are not there, and cannot be written', async () => {
    const blobs = Array.from({ length: 200 }, (_, n) => ({ ...blob, name: `${1000 + n}`.padStart(200, 'x') }));
    const server = await rig.start(blobs);
    expect((await readdir(server.target)).toSorted()).toEqual(blobs.map(each => each.name));
    const sums = await execa('sh', ['-c', 'head -qc 70000 * | sha256sum'], { cwd: server.target });
    const all = await execa('sh', ['-c', `for n in $(seq 200); do head -c 70000 '${blob.path}'; done | sha256sum`]);
    expect(sums.stdout).toBe(all.stdout);
    await expect(open(`${server.target}/none`, 'r')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(open(`${server.target}/${'n'.repeat(256)}`, 'r')).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
    await expect(writeFile(`${server.target}/new`, '')).rejects.toMatchObject({ code: 'EROFS' });
    expect((await statfs(server.target)).files).toBe(201);
    await umount(server.target, server.pid);
  });

  it('fails exactly the blocks whose bytes are wrong, and logs digest and offset', async () => {
    const offsets = [0, DATA - 1, ...Array.from({ length: 6 }, () => randomInt(DATA))];
    const flipped = await Promise.all(offsets.map(offset => rig.flipped(blob, offset)));
    const server = await rig.start(flipped.map((each, n) => ({ ...each, name: `f${n}` })));
    for (const [n, offset] of offsets.entries()) {
      const failures = await failingBlocks(`${server.target}/f${n}`);
      expect([...failures]).toEqual([[Math.floor(offset / BLOCK), 'EIO']]);
      await expect(readFile(`${server.target}/f${n}`)).rejects.toMatchObject({ code: 'EIO' });
    }
    const logged = (await server.logged('integrity')).map(entry => [entry['digest'], entry['offset']]);
    expect(new Set(logged.map(String))).toEqual(
      new Set(offsets.map(at => String([blob.digest, Math.floor(at / BLOCK) * BLOCK]))),
    );
    await umount(server.target, server.pid);
  });

  it('fails the blocks below a hash block that is wrong', async () => {
    const leaves = DATA + 2 * BLOCK;
    const flipped = await rig.flipped(blob, leaves + BLOCK + 40);
    const server = await rig.start([flipped]);
    const failures = await failingBlocks(`${server.target}/blob`);
    expect([...failures.keys()]).toEqual(Array.from({ length: 128 }, (_, n) => 128 + n));
    expect(await server.logged('integrity')).toMatchObject([{ digest: blob.digest, offset: leaves + BLOCK }]);
    await umount(server.target, server.pid);
  });

  it.each([
    ['the superblock', DATA + 3, 'integrity'],
    ['the count of blocks', DATA + 72, 'integrity'],
    ['the block size', DATA + 65, 'integrity'],
    ['the algorithm', DATA + 33, 'unsupported'],
  ])('does not start where %s is wrong', async (_what, offset, code) => {
    const spec = rig.spec([await rig.flipped(blob, offset)]);
    await expect(rig.restart(spec)).rejects.toMatchObject({ code });
    expect(await findMount(spec.target)).toBeUndefined();
  });

  it('does not start for a blob without a tree whose digest is wrong, or one of another length', async () => {
    const { verityRoot: _, ...whole } = await rig.flipped(blob, 1);
    await expect(rig.start([whole])).rejects.toMatchObject({ code: 'integrity', facts: { digest: blob.digest } });
    await expect(rig.start([{ ...blob, sizeBytes: DATA }])).rejects.toMatchObject({ code: 'integrity' });
    await expect(rig.start([{ ...blob, path: rig.path('absent') }])).rejects.toMatchObject({ code: 'not-found' });
    await expect(rig.start([blob, blob])).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('carries a squashfs that the kernel mounts through a loop device', async () => {
    await mkdir(rig.path('tree'));
    await execa('cp', ['-a', '/usr/share/perl5', rig.path('tree')]);
    await execa('mksquashfs', [rig.path('tree'), rig.path('tree.sqfs'), '-no-progress', '-comp', 'zstd']);
    const server = await rig.start([await rig.blob('layer', rig.path('tree.sqfs'))]);
    const view = rig.path('view');
    await mkdir(view);
    await execa('mount', ['-t', 'squashfs', '-o', 'loop,ro', `${server.target}/layer`, view]);
    await execa('diff', ['-r', '--no-dereference', rig.path('tree'), view]);
    await execa('umount', [view]);
    await umount(server.target, server.pid);
  });
});
