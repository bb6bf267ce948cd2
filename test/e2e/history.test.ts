import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { onShell } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

describe.each<Actor>(['root', 'user'])('as %s, builds', actor => {
  if (actor === 'root') requires('root', 'overlay', 'tool:busybox');
  else requires('user', 'userns', 'fuse', 'tool:busybox');

  it('leave what they did and what their steps wrote to be read later, without secrets', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('file', 'one');
    await rig.write('secret', 'planted-secret');
    const recipe = (line: string) =>
      onShell({
        imports: [{ path: 'file', dest: '/' }],
        secrets: ['s'],
        run: ['echo the first line', line, 'cat /run/secrets/s'],
      });
    const build = ['build', '--secret', 'id=s,src=secret'];
    await rig.write('stacker.yaml', recipe('echo two'));
    await rig.ok(build);
    await rig.ok(build);
    await rig.write('stacker.yaml', recipe('echo another'));
    await rig.ok(build);
    await rig.write('file', 'two');
    await rig.ok(build);

    const history = (await rig.ok(['history', 'app', '--json'])).trim().split('\n');
    const outcomes = history.map(line => {
      const { images } = JSON.parse(line) as { images: { name: string; outcome: string }[] };
      return images.find(({ name }) => name === 'app')?.outcome;
    });
    expect(outcomes).toEqual(['done', 'done', 'done']);
    expect(await rig.ok(['history', '-n', '1'])).toMatch(/app done\n(.*\n)*.*run: done, \d/);
    const log = await rig.ok(['logs', 'app', 'run']);
    expect(log).toContain('the first line');
    expect(log).toContain('another');
    expect(log).not.toContain('planted-secret');
    const quiet = await rig.stk(['logs', 'shell', 'run']);
    expect(quiet).toMatchObject({ exitCode: 0, stdout: '', stderr: 'run of shell wrote nothing\n' });
    expect(await rig.stk(['logs', 'app', 'nothing'])).toMatchObject({ exitCode: 8 });
    expect(await rig.stk(['history', '-n', '0'])).toMatchObject({ exitCode: 2 });
    await rig.ok(['clean']);
    expect(await rig.ok(['history'])).toBe('');
  });
});
