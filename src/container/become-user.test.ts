import { describe, expect, it } from 'vitest';
import { planStart, type FindProgram, type Start } from './become-user.ts';

const find: FindProgram = name =>
  Promise.resolve({
    files: new Map([name, 'libc.so'].map(file => [file, `/host/${file}`])),
    start: directory => [`${directory}/${name}`],
  });
const START: Start = {
  user: { uid: 1000, gid: 100, additionalGids: [2000] },
  command: ['run', '--it'],
  workingDirectory: '/',
  environment: { PATH: '/bin', LD_PRELOAD: '/x.so', LANG: 'C' },
};
const plan = (start: Partial<Start>) => planStart({ ...START, ...start }, find);

describe('the start of a command', () => {
  it('is outside of the image for another user than root', async () => {
    const { sandbox, options, command } = await plan({ environment: {}, workingDirectory: '/srv' });
    expect(sandbox).toEqual({ below: '/image', workingDirectory: '/', env: {} });
    expect(options).not.toContain('/image/dev/.stk/setpriv');
    expect(command.slice(0, 4)).toEqual(['/tools/setpriv', '--regid=100', '--groups=100,2000', '--inh-caps=-all']);
    expect(command.slice(command.indexOf('/tools/unshare'))).toEqual([
      ...['/tools/unshare', '--root=/image', '--wd=/srv', '--setuid=1000', '--'],
      ...['/dev/.stk/env', 'PWD=/srv', 'run', '--it'],
    ]);
  });

  it('enters the working directory behind bubblewrap for root, too', async () => {
    const { sandbox, command } = await plan({
      user: { uid: 0, gid: 0, additionalGids: [] },
      environment: {},
      workingDirectory: '/proc/self/fd/3',
    });
    expect(sandbox).toEqual({ workingDirectory: '/', env: {} });
    expect(command.join(' ')).toContain('-- /dev/.stk/unshare --wd=/proc/self/fd/3 -- /dev/.stk/env PWD=');
  });

  it.each([0, 1000])('keeps from all but the command of user %i what a loader heeds', async uid => {
    const { sandbox, options, command } = await plan({ user: { uid, gid: 0, additionalGids: [] } });
    expect(sandbox.env).toEqual({ PATH: '/bin', LANG: 'C' });
    expect(command.slice(-5)).toEqual(['--', '/dev/.stk/env', 'LD_PRELOAD=/x.so', 'run', '--it']);
    const at = uid === 0 ? '/dev/.stk' : '/image/dev/.stk';
    expect(options.join(' ')).toContain(`--ro-bind /host/env ${at}/env`);
  });

  it('takes no program for a variable', async () => {
    await expect(plan({ command: ['a=b'] })).rejects.toMatchObject({ code: 'unsupported' });
    expect((await plan({ command: ['a=b'], environment: {} })).command.at(-1)).toBe('a=b');
  });
});
