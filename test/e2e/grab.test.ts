import { execFileSync } from 'node:child_process';
import { lstat, mkdir, readFile, readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

describe.each<Actor>(['root', 'user'])('as %s, grab', actor => {
  if (actor === 'root') requires('root', 'overlay');
  else requires('user', 'userns', 'fuse');

  it('copies a file or directory of what was built, with its mode, and makes nothing else', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('tree/dir/deep', 'deep\n');
    const content = (text: string) => ({ content: text, dest: '/etc/file', mode: '0751' });
    const recipe = (text: string) => ({
      base: { from: 'scratch', imports: [content(text)], build_only: true },
      app: { from: 'base', overlay_dirs: ['tree'] },
    });
    await rig.write('stacker.yaml', recipe('one\n'));
    await rig.ok(['build', '--layer-type', 'tar']);
    await mkdir(rig.path('out'), { mode: 0o777 });
    execFileSync('chmod', ['777', rig.path('out')]);
    const grab = (...args: string[]) =>
      rig.stk(['--stk-dir', '../.stk', '--oci-dir', '../oci', 'grab', ...args], { cwd: rig.path('out') });
    for (const name of ['base', 'app']) {
      expect(await grab(`${name}:/etc/file`)).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
      expect(await readFile(rig.path('out/file'), 'utf8')).toBe('one\n');
      expect((await lstat(rig.path('out/file'))).mode & 0o7777).toBe(0o751);
    }
    expect(await grab('app:/etc/../etc/file', 'other')).toMatchObject({ exitCode: 0 });
    expect(await grab('app:/dir')).toMatchObject({ exitCode: 0 });
    expect(await readFile(rig.path('out/dir/deep'), 'utf8')).toBe('deep\n');
    expect((await readdir(rig.path('out'))).toSorted()).toEqual(['dir', 'file', 'other']);
    const refused: [string[], number][] = [
      [['app:/dir'], 12],
      [['app:/none'], 8],
      [['none:/etc/file'], 8],
      [['app'], 2],
      [['app:/etc/file', 'no/where'], 8],
    ];
    for (const [args, exitCode] of refused) expect(await grab(...args), args.join(' ')).toMatchObject({ exitCode });
    expect((await readdir(rig.path('out'))).toSorted()).toEqual(['dir', 'file', 'other']);

    // What was built last counts, also where it was built before.
    for (const text of ['two\n', 'one\n']) {
      await rig.write('stacker.yaml', recipe(text));
      await rig.ok(['build', '--layer-type', 'tar']);
      expect(await grab('base:/etc/file')).toMatchObject({ exitCode: 0 });
      expect(await readFile(rig.path('out/file'), 'utf8')).toBe(text);
    }
  });
});
