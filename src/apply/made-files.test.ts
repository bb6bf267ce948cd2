import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { makeTempDir } from '../host/temp-dir.ts';
import { readMadeFiles } from './made-files.ts';

async function makeTree(directory: AbsPath): Promise<void> {
  await mkdir(path.join(directory, 'real/root/etc/caf\u00e9'), { recursive: true });
  await writeFile(path.join(directory, 'real/root/etc/caf\u00e9/cache'), 'made', { mode: 0o640 });
  await writeFile(path.join(directory, 'real/root/top'), 'top');
  await writeFile(path.join(directory, 'real/secret'), 'secret');
}

const made = (root: AbsPath, ...paths: readonly string[]) => readMadeFiles(root, [{ command: ['/sbin/make'], paths }]);

it('reads what lies in a root, also where the way to it leads through symlinks', async () => {
  await using temporary = await makeTempDir(tmpdir(), 'stk-made');
  await makeTree(temporary.path);
  await symlink('real', path.join(temporary.path, 'link'));
  const files = await made(joinInside(temporary.path, 'link/root'), 'etc/caf\xc3\xa9/cache', 'top');
  expect(files.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['made', 'top']);
  expect(files[0]!.attributes.mode).toBe(0o640);
});

it.each(['etc/link/secret', 'etc/file', 'etc/none', 'none/file', 'etc'])('follows no symlink in it: %s', async file => {
  await using temporary = await makeTempDir(tmpdir(), 'stk-made');
  await makeTree(temporary.path);
  const root = joinInside(temporary.path, 'real/root');
  await symlink('../..', path.join(root, 'etc/link'));
  await symlink('../../secret', path.join(root, 'etc/file'));
  await expect(made(root, file)).rejects.toMatchObject({ code: 'conflict' });
});
