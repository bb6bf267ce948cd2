import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { LowerView } from './lower-view.ts';

async function withTree(check: (view: LowerView) => Promise<void>): Promise<void> {
  const scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-view-'));
  try {
    const root = path.join(scratch, 'root') as AbsPath;
    await mkdir(path.join(root, 'directory/inner'), { recursive: true });
    await writeFile(path.join(root, 'file'), '');
    const links = {
      absolute: '/directory/inner',
      climbing: '../../../directory',
      dangling: '/nowhere/x',
      'over-nothing': 'nothing/deeper/../../absolute',
      'over-a-file': 'file/../absolute/../../file',
      circle: 'circle',
    };
    for (const [name, target] of Object.entries(links)) await symlink(target, path.join(root, name));
    for (let index = 0; index <= 41; index++) await symlink(`long${index + 1}`, path.join(root, `long${index}`));
    await using view = await LowerView.open([root], path.join(scratch, 'work') as AbsPath);
    await check(view);
  } finally {
    await rm(scratch, { recursive: true });
  }
}

it.each([
  ['/', '', 'directory'],
  ['/absolute/x', 'directory/inner/x', undefined],
  ['/climbing', 'directory', 'directory'],
  ['/dangling', 'nowhere/x', undefined],
  ['/over-nothing', 'directory/inner', 'directory'],
  ['/over-a-file', 'file', 'other'],
  ['/file/absolute', 'file/absolute', undefined],
])('resolves %s inside of the image', (asked, found, type) =>
  withTree(async view => expect(await view.resolve(asked)).toEqual({ path: found, type })),
);

it.each(['/circle', '/long0', '/long0/below'])('gives no path that still holds a link: %s', asked =>
  withTree(view => expect(view.resolve(asked)).rejects.toMatchObject({ code: 'invalid-input' })),
);
