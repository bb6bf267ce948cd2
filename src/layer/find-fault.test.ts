import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { requires } from '../../test/rig/gates.ts';
import { digestOf } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { blame, tellDamage, type SuspectLayer } from './find-fault.ts';

requires('tool:mksquashfs');

let scratch = '';
let image = Buffer.alloc(0);
beforeAll(async () => {
  scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-fault-'));
  await mkdir(path.join(scratch, 'tree/directory'), { recursive: true });
  await writeFile(path.join(scratch, 'tree/directory/file'), 'content\n'.repeat(100_000));
  const options = ['-noappend', '-no-progress', '-quiet', '-comp', 'gzip'];
  execFileSync('mksquashfs', [path.join(scratch, 'tree'), path.join(scratch, 'image'), ...options]);
  image = await readFile(path.join(scratch, 'image'));
});
afterAll(() => rm(scratch, { recursive: true }));

/** The image with some bytes overwritten; by default they are what its digest says. */
async function layer(at: number, bytes: readonly number[], digestBytes?: Buffer): Promise<SuspectLayer> {
  const changed = Buffer.from(image);
  changed.set(bytes, at);
  const file = path.join(scratch, 'layer') as AbsPath;
  await writeFile(file, changed);
  return { file, descriptor: { digest: digestOf(digestBytes ?? changed), size: changed.length } };
}

const failed = new StkError('tool-failed', 'mount exited with status 32');
const offset = (field: number) => Number(image.readBigUInt64LE(field));
const IO_ERROR = Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'lstat' });

it('finds bytes that are not those of the digest', async () => {
  await expect(blame(failed, [await layer(200, [1, 2, 3], image)])).rejects.toMatchObject({ code: 'integrity' });
});

it.each<[string, number | (() => number)]>([
  ['data', 100],
  ['inodes', () => offset(64) + 4],
  ['directories', () => offset(72) + 4],
])('finds %s that cannot be read in an image that was made so', async (_name, at) => {
  const broken = await layer(typeof at === 'number' ? at : at(), [255, 255, 255, 255, 255, 255, 255, 255]);
  for (const failure of [failed, IO_ERROR]) {
    await expect(blame(failure, [broken])).rejects.toMatchObject({ code: 'invalid-input' });
  }
});

it('lets a failure go on that no layer is to blame for, or that is of another kind', async () => {
  const sound = await layer(0, []);
  await expect(blame(failed, [sound])).rejects.toBe(failed);
  const full = new StkError('storage', 'the disk is full');
  await expect(blame(full, [await layer(200, [1, 2, 3], image)])).rejects.toBe(full);
});

it('tells a damaged blob from an image that was made so', async () => {
  const senseless = new StkError('invalid-input', 'an image makes no sense');
  const damaged = await layer(200, [1, 2, 3], image);
  await expect(tellDamage(senseless, [damaged])).rejects.toMatchObject({ code: 'integrity' });
  await expect(tellDamage(failed, [damaged])).rejects.toBe(failed);
  await expect(tellDamage(senseless, [await layer(200, [1, 2, 3])])).rejects.toBe(senseless);
});
