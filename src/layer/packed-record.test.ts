import { appendFile, chmod, chown, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { requires } from '../../test/rig/gates.ts';
import { self } from '../../test/rig/users.ts';
import { digestHex, digestOf, type Digest } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { PackedRecord } from './packed-record.ts';

requires('root');

let directory = '' as AbsPath;
let record = new PackedRecord();
const digest = digestOf(Buffer.from('a layer'));
const blob = { digest, sizeBytes: 8192, verityRoot: 'ab'.repeat(32) };
const shard = (of: Digest) => path.join(directory, digestHex(of).slice(0, 2));

beforeEach(async context => {
  context.skip(self.uid !== 0, 'files are given away in this process');
  directory = (await mkdtemp('/var/tmp/stk-packed-')) as AbsPath;
  await chmod(directory, 0o755);
  record = new PackedRecord(directory);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

it('finds what was remembered, with and without a verity tree', async () => {
  const plain = digestOf(Buffer.from('a plain layer'));
  await record.remember(blob);
  await record.remember(blob);
  await record.remember({ digest: plain, sizeBytes: 4096 });
  expect(await new PackedRecord(directory).find(digest)).toEqual({ sizeBytes: 8192, verityRoot: blob.verityRoot });
  expect(await record.find(plain)).toEqual({ sizeBytes: 4096 });
  expect(await record.find(digestOf(Buffer.from('another')))).toBeUndefined();
  expect((await readFile(shard(digest), 'latin1')).split('\n').filter(line => line !== '')).toHaveLength(1);
});

it.each<[string, () => Promise<void>]>([
  ['belongs to somebody else', () => chown(shard(digest), 1000, 0)],
  ['can be written by a group', () => chmod(shard(digest), 0o664)],
  ['lies in a directory of somebody else', () => chown(directory, 1000, 0)],
  ['lies in a directory that others write to', () => chmod(directory, 0o757)],
])('is not believed where it %s', async (_name, change) => {
  await record.remember(blob);
  await change();
  expect(await record.find(digest)).toBeUndefined();
});

it('takes no line that is torn or malformed', async () => {
  const hex = digestHex(digest);
  for (const line of [hex.slice(0, 40), `${hex} 12`, `${hex} x -`, `${hex} 8192 ${'a'.repeat(63)}`, ` ${hex} 8192 -`]) {
    await writeFile(shard(digest), `${line}\n`);
    expect([line, await record.find(digest)]).toEqual([line, undefined]);
  }
  await appendFile(shard(digest), '\0\0\0');
  await record.remember(blob);
  expect(await record.find(digest)).toBeDefined();
});

it('writes through no link', async () => {
  const elsewhere = path.join(directory, 'elsewhere');
  await writeFile(elsewhere, '');
  await symlink(elsewhere, shard(digest));
  await record.remember(blob);
  expect(await readFile(elsewhere, 'utf8')).toBe('');
});

it('forgets the oldest of very many', async () => {
  const first = digestOf(Buffer.from('a layer'));
  const line = (index: number) => `${digestHex(first).slice(0, 2)}${String(index).padStart(62, '0')} 4096 -\n`;
  await writeFile(shard(first), Array.from({ length: 1024 }, (_, index) => line(index)).join(''));
  await record.remember(blob);
  const lines = (await readFile(shard(first), 'utf8')).split('\n');
  expect(lines.length).toBeLessThan(600);
  expect(await record.find(digest)).toBeDefined();
});

it('says what is wrong with its place', async () => {
  expect(await new PackedRecord(path.join(directory, 'a/b') as AbsPath).problem()).toBeUndefined();
  await chown(directory, 1000, 0);
  expect(await record.problem()).toMatch(/belongs to uid 1000/);
});
