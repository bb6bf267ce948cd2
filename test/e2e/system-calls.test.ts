import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { StkRig } from '../rig/stk-rig.ts';

describe('stk without its native code', () => {
  let rig: StkRig;
  let cli: string;
  beforeAll(async () => {
    rig = await StkRig.open();
    const installed = path.dirname(inject('stk').cli);
    const program = rig.path('program/dist');
    await cp(installed, program, { recursive: true });
    await cp(path.join(installed, '../package.json'), rig.path('program/package.json'));
    await rm(path.join(program, 'native'), { recursive: true });
    cli = path.join(program, 'stk.js');
    await rig.write('stacker.yaml', { empty: { from: 'scratch' } });
  });
  afterAll(() => rig[Symbol.asyncDispose]());

  const stk = (...args: readonly string[]) =>
    execa(inject('stk').node, [cli, ...args], { cwd: rig.directory, reject: false });

  it.each([['--version'], ['lint']])('answers what needs no system call: %s', async (...args) => {
    expect(await stk(...args)).toMatchObject({ exitCode: 0 });
  });

  it('refuses to build, and says what is missing', async () => {
    const { exitCode, stderr } = await stk('build');
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 6, stderr: expect.stringMatching(/koffi[^]*npm/) });
  });

  it('finds it when it looks at the host', async () => {
    const { exitCode, stdout } = await stk('check', '--json');
    expect(exitCode).toBe(6);
    const { findings } = JSON.parse(stdout) as { findings: readonly { name: string; ok: boolean }[] };
    expect(findings.find(({ name }) => name === 'system calls')).toMatchObject({ ok: false, required: true });
  });
});
