import { describe, expect, it } from 'vitest';
import { makeProgram } from './program.ts';

const program = makeProgram(() => Promise.reject(new Error('not run')), '/', {}, '1.0');

describe('options of stk itself', () => {
  it.each<[string, { command?: string; json?: boolean; debug?: boolean }]>([
    ['--progress=json build', { command: 'build', json: true }],
    ['--progress json build', { command: 'build', json: true }],
    ['build --progress json', { command: 'build', json: true }],
    ['build --progress plain', { command: 'build' }],
    ['inspect --json app', { command: 'inspect', json: true }],
    ['build --json', { command: 'build' }],
    ['commit up app -m --json', { command: 'commit' }],
    ['commit up app -m --debug', { command: 'commit' }],
    ['--debug commit up app', { command: 'commit', debug: true }],
    ['inspect -- --json', { command: 'inspect' }],
    ['atomfs verify app --json', { command: 'verify', json: true }],
    ['ps --json', { command: 'containers', json: true }],
    ['run app tool --progress=json --debug', { command: 'run' }],
    ['run --progress=json app tool --debug', { command: 'run', json: true }],
    ['run app --progress=json tool', { command: 'run', json: true }],
    ['run -e --debug app tool', { command: 'run' }],
    ['run -it --debug app tool', { command: 'run', debug: true }],
    ['bulid', {}],
    ['', {}],
  ])('%s', (line, wanted) => {
    const words = program.separate(line.split(' ').filter(Boolean));
    expect(program.ownOptions(words)).toEqual({ command: undefined, json: false, debug: false, ...wanted });
  });

  it('leaves the words of a command alone, and stands before them', () => {
    const line = ['run', '-e', 'A=b', 'app', '--tty', 'sh', '-c', 'x -- y'];
    expect(program.separate(line)).toEqual(['run', '-e', 'A=b', 'app', '--tty', '--', 'sh', '-c', 'x -- y']);
    expect(program.separate(['run', 'app', '--', 'sh'])).toEqual(['run', 'app', '--', 'sh']);
    expect(program.separate(['ls', 'app', 'x'])).toEqual(['ls', 'app', 'x']);
  });
});
