import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AsyncScope } from '../core/async-scope.ts';
import { absPath } from '../core/paths.ts';
import { LayoutStore } from '../oci/layout.ts';
import { ImageStores } from '../stores/image-stores.ts';
import { GivenFiles } from './given-files.ts';
import { makeProgram } from './program.ts';
import { runCommandLine } from './run-command-line.ts';
import type { GlobalOptions, Session } from './session.ts';

let home: string;

beforeAll(async () => {
  home = await mkdtemp(path.join(os.tmpdir(), 'stk-contract-'));
  await LayoutStore.create(absPath('oci', home));
  await writeFile(path.join(home, 'bad.yaml'), 'app: [');
  await writeFile(path.join(home, 'good.yaml'), 'app: {from: scratch}\n');
});

afterAll(() => rm(home, { recursive: true }));

interface Outcome {
  readonly status: number;
  readonly stderr: string;
}

/** Runs a command line in this process, in a directory with an empty layout. */
async function stk(args: readonly string[], { signal = new AbortController().signal } = {}): Promise<Outcome> {
  await using scope = new AsyncScope();
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  stdout.resume();
  const view = { stepOutputShown: false, statusStands: false, errorsAsJson: false, emit: undefined };
  const environment = { PATH: process.env['PATH'], HOME: home };
  const session = async (global: GlobalOptions): Promise<Session> => ({
    workingDirectory: absPath('.', home),
    environment,
    global,
    stdout: stdout as unknown as NodeJS.WriteStream,
    stderr: stderr as unknown as NodeJS.WriteStream,
    color: false,
    signal,
    view,
    given: new GivenFiles({}, signal),
    scope,
    stores: new ImageStores({
      workingDirectory: absPath('.', home),
      defaultLayout: global.ociDir,
      scratch: absPath('scratch', home),
      environment,
      userAgent: 'test',
      scope,
      signal,
      say: () => {},
    }),
    version: '1.0',
    build: 'test',
    self: ['stk'],
    inside: false,
    enter: () => Promise.reject(new Error('entered')),
  });
  const program = makeProgram(session, home, environment, '1.0');
  mute(program.command, stderr);
  const status = await runCommandLine(program, args, { stderr, color: false, signal, view });
  return { status, stderr: String(stderr.read() ?? '') };
}

/** What commander says goes where the rest goes. */
function mute(command: Command, stderr: PassThrough): void {
  command.configureOutput({ writeOut: () => {}, writeErr: text => void stderr.write(text) });
  for (const child of command.commands) mute(child, stderr);
}

function commandsOf(command: Command, before: readonly string[] = []): readonly (readonly string[])[] {
  return command.commands
    .filter(child => child.name() !== 'help')
    .flatMap(child => {
      const name = [...before, child.name()];
      return child.commands.length > 0 ? commandsOf(child, name) : [name];
    });
}

const COMMANDS = commandsOf(makeProgram(() => Promise.reject(new Error('not run')), '/', {}, '1.0').command);
const isRun = (command: readonly string[]) => command[0] === 'run';

describe('every command', () => {
  it.each(COMMANDS.map(command => [command.join(' '), command] as const))('%s', async (_name, command) => {
    expect(await stk([...command, '--help'])).toEqual({ status: 0, stderr: '' });
    const unknown = await stk([...command, '--no-such-option']);
    expect(unknown.status).toBe(isRun(command) ? 125 : 2);
    expect(unknown.stderr).toMatch(/^error: (?:unknown option '--no-such-option'|required option)/);
    const json = await stk([...command, '--progress=json', '--no-such-option']);
    expect(json.status).toBe(unknown.status);
    expect(JSON.parse(json.stderr)).toMatchObject({ type: 'error', code: 'usage' });
  });
});

/** Command lines, the status of each, and the code that its error has as JSON. */
const REFUSED: readonly (readonly [number, string, readonly string[]])[] = [
  [2, 'usage', ['bulid']],
  [2, 'usage', ['--progress', 'loud', 'ls']],
  [2, 'usage', ['--oci-dir', '', 'ls']],
  [2, 'usage', ['build', '-f', 'good.yaml', '--jobs', '0']],
  [2, 'usage', ['recursive-build', '-p', '(']],
  [2, 'usage', ['publish', 'docker://h.example', '--search-dir', '.', '--stacker-file-pattern', '(']],
  [2, 'usage', ['publish']],
  [2, 'usage', ['cache', 'ls', '--kind', 'htpp']],
  [2, 'usage', ['cache', 'prune', '--older-than', '7']],
  [2, 'usage', ['cache', 'prune', '--max-size', 'much']],
  [2, 'usage', ['cache', 'prune', '--all', '--max-size', '1GB']],
  [2, 'usage', ['--patience', 'long', 'ls']],
  [2, 'usage', ['publish', 'app', 'h.example/app']],
  [2, 'usage', ['convert', 'oci:oci', 'oci:oci:x']],
  [2, 'usage', ['inspect', 'app', '--platform', 'linux']],
  [2, 'usage', ['inspect', 'app:/etc']],
  [2, 'usage', ['update']],
  [2, 'usage', ['update', 'app']],
  [2, 'usage', ['mount', 'saved.tar', 'm']],
  [2, 'usage', ['mount', 'app', 'm', '--rw', '--upper', 'u']],
  [2, 'usage', ['verify', 'app', '--identity', 'x']],
  [2, 'usage', ['completion', 'tcsh']],
  [2, 'usage', ['login', 'nothost']],
  [3, 'recipe-invalid', ['build', '-f', 'bad.yaml']],
  [5, 'network', ['inspect', 'docker://127.0.0.1:1/app']],
  [5, 'network', ['ls', 'docker://127.0.0.1:1/app']],
  [5, 'network', ['verify', 'docker://127.0.0.1:1/app']],
  [8, 'not-found', ['inspect', 'app']],
  [8, 'not-found', ['ls', 'app']],
  [8, 'not-found', ['ls', 'nofile.tar']],
  [8, 'not-found', ['--oci-dir', 'none', 'ls']],
  [8, 'not-found', ['--oci-dir', 'none', 'gc']],
  [8, 'not-found', ['diff', 'app', 'app2']],
  [8, 'not-found', ['verify', 'app']],
  [8, 'not-found', ['mount', 'app', 'm']],
  [8, 'not-found', ['bundle', 'app', 'b']],
  [8, 'not-found', ['commit', 'nothing', 'app']],
  [8, 'not-found', ['convert', 'app', 'oci:oci:x']],
  [8, 'not-found', ['publish', 'app', 'oci:oci:x']],
  [8, 'not-found', ['sign', 'app', '--key', 'none']],
  [8, 'not-found', ['update', 'app', '--apply', 'ssl']],
  [8, 'not-found', ['umount', 'm']],
  [8, 'not-found', ['rm', 'nothing']],
  [8, 'not-found', ['logout', 'h.example']],
  [9, 'invalid-input', ['inspect', 'docker://h.example/App']],
  [9, 'invalid-input', ['ls', 'https://h.example/app']],
  [9, 'invalid-input', ['diff', 'docker://h.example/a:', 'app']],
  [9, 'invalid-input', ['verify', 'docker://h.example/a@sha256:1']],
  [9, 'invalid-input', ['mount', 'oci::x', 'm']],
  [9, 'invalid-input', ['update', 'oci:oci:', '--all']],
  [9, 'invalid-input', ['convert', 'app', 'docker://h.example/App']],
  [9, 'unsupported', ['update', 'saved.tar', '--apply', 'ssl']],
  [125, 'usage', ['run']],
  [125, 'usage', ['run', 'saved.tar']],
  [125, 'usage', ['run', 'app', '--network', 'bridge']],
  [125, 'invalid-input', ['run', 'docker://h.example/App']],
];

describe('what is refused', () => {
  it.each(REFUSED.map(([status, code, args]) => [args.join(' '), status, code, args] as const))(
    '%s: status %i, %s',
    async (_line, status, code, args) => {
      const text = await stk(args);
      expect(text, text.stderr).toMatchObject({ status });
      expect(text.stderr).toMatch(/error:/);
      const json = await stk(['--progress=json', ...args]);
      expect(json.status).toBe(status);
      expect(JSON.parse(json.stderr.trim().split('\n').at(-1)!)).toMatchObject({ type: 'error', code });
    },
  );

  it('is JSON with --json too, and where settings say so', async () => {
    const listed = await stk(['inspect', 'app', '--json']);
    expect(JSON.parse(listed.stderr)).toMatchObject({ type: 'error', code: 'not-found' });
    await writeFile(path.join(home, 'config.yaml'), 'progress: json\n');
    const set = await stk(['--config', path.join(home, 'config.yaml'), 'inspect', 'app']);
    expect(JSON.parse(set.stderr)).toMatchObject({ type: 'error', code: 'not-found' });
  });

  it('is no error where it is what was asked for', async () => {
    expect(await stk(['lint', 'bad.yaml'])).toEqual({ status: 3, stderr: '' });
  });

  it('has the status of the signal that ended it', async () => {
    const controller = new AbortController();
    controller.abort(new Error('SIGTERM'));
    expect(await stk(['inspect', 'app'], controller)).toMatchObject({ status: 143 });
  });
});
