import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { openFileReader } from './file-reader.ts';
import { openRegularFile } from './open-regular-file.ts';
import { readSmallFile } from './read-small-file.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-regular-'));
  await writeFile(path.join(scratch, 'file'), 'bytes');
  await symlink('file', path.join(scratch, 'link'));
  await symlink('/dev/zero', path.join(scratch, 'endless'));
  await symlink('link-to-itself', path.join(scratch, 'link-to-itself'));
  await mkdir(path.join(scratch, 'directory'));
  execFileSync('mkfifo', [path.join(scratch, 'pipe')]);
});
afterAll(() => rm(scratch, { recursive: true }));

it.each(['file', 'link'])('opens a %s', async name => {
  const { file, sizeBytes } = await openRegularFile(path.join(scratch, name));
  await using _closing = { [Symbol.asyncDispose]: () => file.close() };
  expect([sizeBytes, await file.readFile('utf8')]).toEqual([5, 'bytes']);
});

it.each(['endless', 'directory', 'pipe'])('refuses what is no regular file without waiting for it: %s', async name => {
  const place = path.join(scratch, name) as AbsPath;
  for (const open of [openRegularFile, openFileReader, (file: AbsPath) => readSmallFile(file, 100)]) {
    await expect(open(place)).rejects.toMatchObject({ code: 'invalid-input' });
  }
});

it('leaves errors of the system as they are', async () => {
  await expect(openRegularFile(path.join(scratch, 'nothing'))).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(openRegularFile(path.join(scratch, 'link-to-itself'))).rejects.toMatchObject({ code: 'ELOOP' });
});
