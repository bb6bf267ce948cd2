import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { execa } from 'execa';
import { requires } from '../rig/gates.ts';
import { makeKey } from '../rig/sample-build.ts';
import { onShell } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

/** A named pipe that somebody writes to, once. */
async function piped(rig: StkRig, name: string, text: string): Promise<string> {
  const file = rig.path(name);
  await execa('mkfifo', ['-m', '644', file]);
  spawn('sh', ['-c', 'printf %s "$1" > "$0"', file, text], { stdio: 'ignore' });
  return file;
}

describe.each<Actor>(['root', 'user'])('as %s, a build', actor => {
  if (actor === 'root') requires('root', 'overlay', 'tool:busybox');
  else requires('user', 'userns', 'fuse', 'tool:busybox');

  it('takes recipe, values, secret and key from pipes', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('file', 'of the working directory');
    const { privateKey, publicKey } = makeKey('');
    const script = 'test "$(cat /run/secrets/s)" = "a secret" && echo ${{WORD}} > /word';
    const recipe = onShell({
      imports: [{ path: 'file', dest: '/' }],
      secrets: ['s'],
      run: [script, 'echo again'],
      generate_labels: 'cp /run/secrets/s /stacker/oci-labels/s',
    });
    await rig.ok(
      [
        'build',
        ...['-f', '-'],
        ...['--substitute-file', await piped(rig, 'values', 'WORD: substituted')],
        ...['--secret', `id=s,src=${await piped(rig, 'secret', 'a secret')}`],
        ...['--sign-key', await piped(rig, 'key', privateKey)],
      ],
      { stdin: JSON.stringify(recipe) },
    );
    expect(await rig.ok(['inspect', 'app'])).toContain('a secret');
    const ls = await rig.ok(['ls', 'app:/']);
    expect(ls).toMatch(/^file$/m);
    expect(ls).toMatch(/^word$/m);
    await rig.ok(['verify', 'app', '--key', await piped(rig, 'public', publicKey)]);
  });

  it('of nothing is refused', async () => {
    await using rig = await StkRig.open({ as: actor });
    const { exitCode, stderr } = await rig.stk(['build', '-f', '/dev/stdin']);
    expect([exitCode, stderr]).toEqual([3, expect.stringContaining('the recipe has no images')]);
  });
});
