import { chmod, chown, link, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { requires } from '../../test/rig/gates.ts';
import { self } from '../../test/rig/users.ts';
import type { AbsPath } from '../core/paths.ts';
import { findOtherWriter } from './root-only.ts';

requires('root');

let scratch = '';
const at = (name: string) => path.join(scratch, name) as AbsPath;

beforeEach(async context => {
  context.skip(self.uid !== 0, 'files are given away in this process');
  // Its parent is one that others make entries in.
  scratch = await mkdtemp('/var/tmp/stk-root-only-');
  await mkdir(at('directory'), { mode: 0o755 });
  await writeFile(at('directory/file'), 'x', { mode: 0o644 });
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

it('finds nobody besides root in a directory of root, be it in a sticky one', async () => {
  expect(await findOtherWriter(at('directory/file'))).toBeUndefined();
});

it('follows links to what counts', async () => {
  await symlink('directory/file', at('link'));
  expect(await findOtherWriter(at('link'))).toBeUndefined();
  await chmod(at('directory'), 0o777);
  expect(await findOtherWriter(at('link'))).toMatch(/directory can be written/);
});

it.each<[string, () => Promise<void>, RegExp]>([
  ['the owner of the file', () => chown(at('directory/file'), 1000, 0), /file belongs to uid 1000/],
  ['the owner of a directory above', () => chown(at('directory'), 1000, 0), /directory belongs to uid 1000/],
  ['a group of the file', () => chmod(at('directory/file'), 0o664), /file can be written/],
  ['everybody', () => chmod(at('directory/file'), 0o646), /file can be written/],
  ['a group of a directory above', () => chmod(at('directory'), 0o775), /directory can be written/],
  ['everybody in a directory above', () => chmod(scratch, 0o777), /can be written/],
  ['the owner of a sticky directory above', () => chown(scratch, 1000, 0), /belongs to uid 1000/],
])('finds %s', async (_name, change, text) => {
  await change();
  expect(await findOtherWriter(at('directory/file'))).toMatch(text);
});

it('minds no other hard link, which is no way to write', async () => {
  await mkdir(at('other'));
  await chown(at('other'), 1000, 0);
  await link(at('directory/file'), at('other/file'));
  expect(await findOtherWriter(at('directory/file'))).toBeUndefined();
});

it('does not believe a filesystem that only shows what others keep', async () => {
  expect(await findOtherWriter('/proc/self/status' as AbsPath)).toMatch(/no filesystem of this kernel's own/);
});
