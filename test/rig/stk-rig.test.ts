import { mkdir, readFile, stat } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { missing, requires } from './gates.ts';
import { StkRig } from './stk-rig.ts';

describe('the rig', () => {
  it('runs the built command line', async () => {
    await using rig = await StkRig.open();
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect(await rig.stk(['--version'])).toMatchObject({ stdout: `${version}\n`, exitCode: 0 });
  });

  it('passes nothing of its own environment', async () => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', { app: { from: 'scratch', labels: { home: '${{HOME}}' } } });
    expect((await rig.stk(['lint'])).exitCode).toBe(3);
  });

  it('removes its directory', async () => {
    const rig = await StkRig.open();
    await rig.write('a/b', 'text');
    await rig[Symbol.asyncDispose]();
    await expect(stat(rig.directory)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('finds a process that was left behind', async () => {
    const rig = await StkRig.open({ graceMs: 0 });
    const child = execa('sleep', ['600'], { cwd: rig.directory, reject: false });
    await expect(rig[Symbol.asyncDispose]()).rejects.toThrow(`running: ${child.pid}: sleep 600 (its cwd)`);
    child.kill();
    await child;
  });
});

describe('the rig as root', () => {
  requires('root');

  it('finds a mount that was left behind, and takes it away', async () => {
    const rig = await StkRig.open({ graceMs: 0 });
    await mkdir(rig.path('mounted'));
    await execa('mount', ['-t', 'tmpfs', 'none', rig.path('mounted')]);
    await expect(rig[Symbol.asyncDispose]()).rejects.toThrow(new RegExp(`left behind:\nmounted: .*/mounted$`));
    expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(rig.directory);
  });
});

describe('the rig as an ordinary user', () => {
  requires('user');

  it('runs in a directory of the user', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    const { exitCode, stdout } = await rig.stk(['check', '--json']);
    const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: { name: string }[] };
    expect(findings.map(finding => finding.name)).toContain('user namespace');
    expect(exitCode).toBe(ok ? 0 : 6);
  });
});

describe('controlled steps', () => {
  requires('userns');

  it('start, wait, and end as they are told', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    const steps = await rig.steps();
    await rig.write('stacker.yaml', { first: steps.image('first'), second: steps.image('second') });
    const build = await rig.start(['build', '--jobs', '2']);
    const [first, second] = await Promise.all([
      steps.started('first', build.done),
      steps.started('second', build.done),
    ]);
    second.finish();
    first.finish(7);
    const { exitCode, stderr } = await build.done;
    await Promise.all([first.gone, second.gone]);
    expect(stderr).toContain('status 7');
    expect(exitCode).toBe(4);
  });

  it('end with the build that is interrupted', async () => {
    await using rig = await StkRig.open({ as: 'user' });
    const steps = await rig.steps();
    await rig.write('stacker.yaml', { only: steps.image('only') });
    const build = await rig.start(['build']);
    const step = await steps.started('only', build.done);
    build.kill('SIGTERM');
    expect((await build.done).exitCode).toBe(143);
    await step.gone;
  });
});

describe('gates', () => {
  it('say what is missing', async () => {
    expect(await missing('tool:no-such-tool')).toMatch(/^needs tool:no-such-tool: no-such-tool is not installed/);
  });
});
