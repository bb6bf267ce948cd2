import { describe, expect, it } from 'vitest';
import type { ProgramFiles } from '../host/tools/program-files.ts';
import { planStart, type Start } from './become-user.ts';

const PROGRAMS: ProgramFiles = {
  files: new Map(['setpriv', 'unshare', 'env', 'libc.so'].map(name => [name, `/host/${name}`])),
  start: (directory, program) => [`${directory}/${program}`],
};
const START: Start = {
  user: { uid: 1000, gid: 100, additionalGids: [2000] },
  command: ['run', '--it'],
  workingDirectory: '/srv',
  environment: { PATH: '/bin', LD_PRELOAD: '/x.so', LANG: 'C' },
};
const plan = (start: Partial<Start>) => planStart({ ...START, ...start }, PROGRAMS);

describe('the start of a command', () => {
  it('is outside of the image for another user than root', () => {
    const { sandbox, options, command } = plan({ environment: {} });
    expect(sandbox).toEqual({ below: '/image', workingDirectory: '/', env: {} });
    expect(options.join(' ')).not.toContain('/dev/.stk');
    expect(command.slice(0, 4)).toEqual(['/tools/setpriv', '--regid=100', '--groups=100,2000', '--inh-caps=-all']);
    expect(command.slice(command.indexOf('/tools/unshare'))).toEqual([
      ...['/tools/unshare', '--root=/image', '--wd=/srv', '--setuid=1000', '--', 'run', '--it'],
    ]);
  });

  it.each([0, 1000])('keeps from all but the command of user %i what a loader heeds', uid => {
    const { sandbox, options, command } = plan({ user: { uid, gid: 0, additionalGids: [] } });
    expect(sandbox.env).toEqual({ PATH: '/bin', LANG: 'C' });
    expect(command.slice(-5)).toEqual(['--', '/dev/.stk/env', 'LD_PRELOAD=/x.so', 'run', '--it']);
    const at = uid === 0 ? '/dev/.stk' : '/image/dev/.stk';
    expect(options.join(' ')).toContain(`--ro-bind /host/env ${at}/env --ro-bind /host/libc.so ${at}/libc.so`);
  });

  it('takes no program for a variable', () => {
    expect(() => plan({ command: ['a=b'] })).toThrow(/= in its name/);
    expect(plan({ command: ['a=b'], environment: {} }).command.at(-1)).toBe('a=b');
  });
});
