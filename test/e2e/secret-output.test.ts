import { generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { onShell } from '../rig/shell-image.ts';
import { StkRig, type StkOptions } from '../rig/stk-rig.ts';

const { privateKey: KEY } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
});
const LINES = KEY.trim().split('\n');

/** What shows any line of the key is found out. */
function expectHidden(text: string): void {
  expect(LINES.filter(line => text.includes(line))).toEqual([]);
  expect(text).toContain('***');
}

describe('a secret of several lines', () => {
  requires('root', 'overlay', 'tool:busybox', 'tool:script');

  it.each([
    ['as a script shows it', 'cat /run/secrets/k; cat /run/secrets/k >&2; echo "$K"', 0],
    ['where a script fails', 'set -x; cat /run/secrets/k; test "$K" = x', 4],
  ])('is in no output, log or event, %s', async (_, run, status) => {
    await using rig = await StkRig.open();
    await rig.write('key', KEY, 0o600);
    await rig.write('stacker.yaml', onShell({ secrets: [{ id: 'k', env: 'K' }], run }));
    const build = (mode: string) =>
      rig.stk(['build', '--no-cache', '--progress', mode, '--debug', '--log-file', 'log', '--secret', 'id=k,src=key']);
    for (const mode of ['plain', 'json', 'quiet']) {
      const { exitCode, stdout, stderr } = await build(mode);
      expect(exitCode).toBe(status);
      expectHidden(`${stdout}${stderr}${await readFile(rig.path('log'), 'utf8')}`);
    }
  });

  it.each<[string, readonly string[], StkOptions]>([
    ['a command', ['--on-run-failure', 'cat /run/secrets/k; cat /run/secrets/k >&2; echo looked'], {}],
    ['a shell', ['--shell-fail'], { stdin: 'cat /run/secrets/k\necho look"ed"\n' }],
    [
      'a shell in a terminal',
      ['--shell-fail'],
      { stdin: 'cat /run/secrets/k\necho look"ed"\nexit\n', terminal: { rows: 40, columns: 80 } },
    ],
  ])('is not shown by %s that looks around after a failure', async (_, flags, options) => {
    await using rig = await StkRig.open();
    await rig.write('key', KEY, 0o600);
    await rig.write('stacker.yaml', onShell({ secrets: ['k'], run: 'exit 3' }));
    const { exitCode, stdout, stderr } = await rig.stk(['build', '--secret', 'id=k,src=key', ...flags], options);
    expect(exitCode).toBe(4);
    expectHidden(stdout + stderr);
    expect(stdout).toContain('looked');
  });

  it('is named where it is too short to be hidden', async () => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', onShell({ secrets: ['pin'], run: 'cat /run/secrets/pin; echo; echo "x: 42"' }));
    const { stderr } = await rig.stk(['build', '--progress', 'plain', '--secret', 'id=pin,env=PIN'], {
      env: { PIN: '42' },
    });
    expect(stderr).toContain('the secret pin has a line of fewer than four characters');
    expect(stderr).not.toMatch(/^\S* *│ *42$/m);
  });
});
