import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { AsyncScope } from '../core/async-scope.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { LowerView } from '../sandbox/lower-view.ts';
import type { StepMount } from '../sandbox/run-step.ts';
import { networkFiles } from './network-files.ts';

/** The targets of the files in an image with /etc in another place, and what is left of them. */
async function targetsBeside(mounts: (directory: AbsPath) => readonly StepMount[]): Promise<readonly string[]> {
  const scratch = (await mkdtemp(path.join(os.tmpdir(), 'stk-network-'))) as AbsPath;
  try {
    const [root, directory] = [joinInside(scratch, 'root'), joinInside(scratch, 'run')];
    await mkdir(joinInside(root, 'real/etc'), { recursive: true });
    await symlink('real/etc', joinInside(root, 'etc'));
    await mkdir(directory);
    const view = await LowerView.open([root], joinInside(scratch, 'view'));
    const scope = new AsyncScope();
    const placed = mounts(directory);
    const request = { network: 'host', hostname: 'box', readOnly: false, mounts: [] } as const;
    const files = await networkFiles({ ...request, placed, view, directory, scope });
    await scope[Symbol.asyncDispose]();
    expect(await readdir(joinInside(root, 'real/etc'))).toEqual([]);
    return files.map(({ target }) => target);
  } finally {
    await rm(scratch, { recursive: true });
  }
}

const bind = (source: string, target: string): StepMount => ({
  type: 'bind',
  source: source as AbsPath,
  target,
  readOnly: false,
});

it.each<[string, (directory: AbsPath) => readonly StepMount[], readonly string[]]>([
  ['nothing', () => [], ['/real/etc/hosts', '/real/etc/resolv.conf']],
  ['a directory of the host in their place', () => [bind('/srv', '/real/etc')], []],
  ['a directory of the host above', () => [bind('/srv', '/real')], []],
  ['one of them from the host', () => [bind('/srv/hosts', '/real/etc/hosts')], ['/real/etc/resolv.conf']],
  ['a directory of the host beside', () => [bind('/srv', '/real/etc/x')], ['/real/etc/hosts', '/real/etc/resolv.conf']],
  [
    'a volume in their place',
    directory => [bind(`${directory}/volume-0`, '/real/etc')],
    ['/real/etc/hosts', '/real/etc/resolv.conf'],
  ],
])('are mounted beside %s', async (_name, mounts, targets) => {
  expect(await targetsBeside(mounts)).toEqual(targets);
});
