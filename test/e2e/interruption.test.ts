import { describe, expect, it } from 'vitest';
import { execa } from 'execa';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';

const ACTORS = ['root', 'user'] as const;

describe.each(ACTORS)('as %s', actor => {
  requires('root', 'overlay', 'fuse', 'tool:busybox', 'tool:umoci');

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends the step, cleans up and says so', async (signal, exitCode) => {
    await using rig = await StkRig.open({ as: actor });
    const steps = await rig.steps();
    await rig.write('stacker.yaml', { app: steps.image('app') });
    const build = await rig.start(['build', '--progress', 'plain']);
    const step = await steps.started('app');
    process.kill(build.pid, signal);
    await step.gone;
    const result = await build.done;
    expect(result).toMatchObject({ exitCode });
    expect(result.stderr).toContain(`interrupted by ${signal}`);
  });

  it('kill -9 leaves nothing mounted or running, a valid layout, and the next build works', async () => {
    await using rig = await StkRig.open({ as: actor });
    const steps = await rig.steps();
    await rig.write('stacker.yaml', {
      first: steps.image('first'),
      second: { ...steps.image('second'), from: { type: 'built', tag: 'first' } },
    });
    const build = await rig.start(['build']);
    (await steps.started('first')).finish();
    const step = await steps.started('second');
    process.kill(build.pid, 'SIGKILL');
    await step.gone;
    expect(await build.done).toMatchObject({ exitCode: undefined });
    const listed = await execa('umoci', ['ls', '--layout', rig.path('oci')]);
    expect(listed.stdout).toBe('first');
    const again = await rig.start(['build', '--progress', 'plain']);
    (await steps.started('second')).finish();
    const { exitCode, stderr } = await again.done;
    expect(exitCode).toBe(0);
    expect(stderr).toContain('found cached layer first');
    const { stdout } = await execa('sh', ['-c', 'ls -A .stk/work | wc -l'], { cwd: rig.directory });
    expect(stdout).toBe('0');
  });
});
