import { describe, expect, it } from 'vitest';
import type { RuntimeConfig } from '../oci/descriptor.ts';
import { applyChanges, parseChange } from './commit-changes.ts';

const BASE: RuntimeConfig = {
  Cmd: ['old'],
  Env: ['PATH=/bin', 'A=1'],
  Labels: { a: '1' },
  Volumes: { '/v': {} },
  User: 'web',
};

describe('a change', () => {
  it.each<[string, RuntimeConfig]>([
    ['CMD ["a", "b c"]', { Cmd: ['a', 'b c'] }],
    ['cmd=["a"]', { Cmd: ['a'] }],
    ['CMD echo $HOME', { Cmd: ['/bin/sh', '-c', 'echo $HOME'] }],
    ['CMD []', { Cmd: [] }],
    ['ENV A=2', { Env: ['PATH=/bin', 'A=2'] }],
    ['ENV B=x=y C="d e" D=\'f "g\' E=h\\ i', { Env: ['PATH=/bin', 'A=1', 'B=x=y', 'C=d e', 'D=f "g', 'E=h i'] }],
    ['ENV B the whole "line"', { Env: ['PATH=/bin', 'A=1', 'B=the whole "line"'] }],
    ['ENV=B=', { Env: ['PATH=/bin', 'A=1', 'B='] }],
    ['LABEL b="two words" a=3', { Labels: { a: '3', b: 'two words' } }],
    ['WORKDIR /srv', { WorkingDir: '/srv' }],
    ['USER 1000:1000', { User: '1000:1000' }],
    ['STOPSIGNAL SIGRTMIN+3', { StopSignal: 'SIGRTMIN+3' }],
    ['EXPOSE 80/tcp 443', { ExposedPorts: { '80/tcp': {}, '443': {} } }],
    ['VOLUME ["/a b"]', { Volumes: { '/v': {}, '/a b': {} } }],
    ['VOLUME /a /b', { Volumes: { '/v': {}, '/a': {}, '/b': {} } }],
  ])('%s', (text, expected) => {
    expect(applyChanges(BASE, [parseChange(text)])).toEqual({ ...BASE, ...expected });
  });

  it('of the entry point clears the command of the base, not one that is given', () => {
    const { Cmd: _cmd, ...rest } = BASE;
    const entrypoint = parseChange('ENTRYPOINT ["e"]');
    expect(applyChanges(BASE, [entrypoint])).toEqual({ ...rest, Entrypoint: ['e'] });
    const command = parseChange('CMD ["c"]');
    for (const changes of [
      [entrypoint, command],
      [command, entrypoint],
    ]) {
      expect(applyChanges(BASE, changes)).toEqual({ ...rest, Entrypoint: ['e'], Cmd: ['c'] });
    }
  });

  it.each([
    '',
    'CMD',
    'CMD ',
    'CMD [',
    'CMD ["a", 1]',
    'CMD {"a": 1}]x\0',
    'ENV A',
    'ENV =x',
    'ENV A="x',
    'ENV A=x\\',
    'WORKDIR srv',
    'USER a b',
    'USER :x',
    'STOPSIGNAL kill me',
    'EXPOSE 70000',
    'EXPOSE http',
    'VOLUME data',
    'RUN rm -rf /',
    'ONBUILD RUN x',
  ])('%j is refused', text => {
    expect(() => parseChange(text)).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});
