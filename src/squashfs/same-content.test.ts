import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { openImage, packDirectory, scratch } from '../../test/fixtures/squashfs-images.ts';
import { requires } from '../../test/rig/gates.ts';
import { sameContent } from './same-content.ts';

requires('tool:mksquashfs');

const RANDOM = randomBytes(700_000);
const changedAt = (offset: number) => {
  const bytes = Buffer.from(RANDOM);
  bytes[offset]! ^= 1;
  return bytes;
};
const FILES: Readonly<Record<string, Buffer>> = {
  empty: Buffer.alloc(0),
  small: Buffer.from('small'),
  other: Buffer.from('other'),
  text: Buffer.from('many lines\n'.repeat(50_000)),
  random: RANDOM,
  first: changedAt(0),
  middle: changedAt(350_000),
  last: changedAt(RANDOM.length - 1),
  shorter: RANDOM.subarray(0, 655_360),
  hole: Buffer.concat([Buffer.alloc(400_000), Buffer.from('end')]),
};

it.each([
  ['the same options', ['-comp', 'gzip', '-Xcompression-level', '1']],
  ['another level', ['-comp', 'gzip', '-Xcompression-level', '9']],
  ['another block size', ['-comp', 'gzip', '-b', '64K']],
  ['another compressor', ['-comp', 'xz']],
  ['no compression, no fragments', ['-comp', 'gzip', '-noD', '-no-fragments']],
])('tells equal content beside an image of %s', async (_name, options) => {
  await using scope = await scratch();
  const directory = path.join(scope.dir, 'files');
  fs.mkdirSync(directory);
  for (const [name, bytes] of Object.entries(FILES)) fs.writeFileSync(path.join(directory, name), bytes);
  const open = async (name: string, ...more: string[]) => {
    const file = path.join(scope.dir, name);
    await packDirectory(directory, file, ...more);
    return openImage(file);
  };
  await using a = await open('a', '-comp', 'gzip', '-Xcompression-level', '1');
  await using b = await open('b', ...options);
  const wrong: string[] = [];
  for (const [left, mine] of Object.entries(FILES)) {
    for (const [right, theirs] of Object.entries(FILES)) {
      const [one, two] = [await a.lookup(left), await b.lookup(right)];
      if (one?.type !== 'file' || two?.type !== 'file') throw new Error('no file');
      const same = await sameContent({ reader: a, file: one }, { reader: b, file: two });
      if (same !== mine.equals(theirs)) wrong.push(`${left} ${right}`);
    }
  }
  expect(wrong).toEqual([]);
});
