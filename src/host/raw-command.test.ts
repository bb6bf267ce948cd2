import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostBytes } from '../core/host-text.ts';
import { systemCommand, type Command } from './raw-command.ts';

const ENV = { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8' };
let scratch: string;

beforeAll(() => {
  scratch = mkdtempSync(path.join(os.tmpdir(), 'stk-raw-'));
  mkdirSync(Buffer.concat([Buffer.from(`${scratch}/`), Buffer.of(0xe9)]));
});
afterAll(() => rmSync(scratch, { recursive: true }));

function run(command: Command): Buffer {
  const { file, args, cwd, env } = systemCommand(command);
  const { stdout, stderr } = spawnSync(file, args, { cwd, env });
  expect(stderr.toString()).toBe('');
  return stdout;
}

describe('systemCommand', () => {
  it('leaves a command of UTF-8 alone', () => {
    const command = { file: 'tar', args: ['é', '\\', '\ufffd'], cwd: '/', env: ENV };
    expect(systemCommand(command)).toBe(command);
  });

  it.each([
    ['a lone byte', '\udce9'],
    ['bytes among characters', 'é\udce9\udcff x'],
    ['backslashes', '\udce9\\0351\\\\n\\c'],
    ['newlines at the end', '\udce9\n\n'],
    ['what a shell would read', `\udce9$(touch /x)'"\`*;`],
  ])('hands over %s', (_what, text) => {
    const words = [text, '', 'plain \\n\n', '-n', "it's"];
    const out = run({ file: 'printf', args: ['[%s]', ...words], env: ENV });
    expect(out).toEqual(Buffer.concat(words.map(word => hostBytes(`[${word}]`))));
  });

  it('hands over variables and a working directory', () => {
    const script = 'printf "%s|%s|%s" "$PWD" "$ODD" "$LC_ALL"';
    const out = run({
      file: 'sh',
      args: ['-c', script],
      cwd: `${scratch}/\udce9`,
      env: { ...ENV, ODD: '\udcfe\\\n' },
    });
    expect(out).toEqual(hostBytes(`${scratch}/\udce9|\udcfe\\\n|C.UTF-8`));
  });

  it('is replaced by the program', () => {
    const { file, args, env } = systemCommand({ file: 'sh', args: ['-c', 'echo $$', '\udce9'], env: ENV });
    const child = spawnSync(file, args, { env });
    expect(Number(child.stdout)).toBe(child.pid);
  });
});
