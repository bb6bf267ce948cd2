import { describe, expect, it } from 'vitest';
import { mergeSearchPath } from './merge-search-path.ts';
import { mergeSettings } from './merge-settings.ts';

const merge = (before: object, base: object, image: object, rules: Parameters<typeof mergeSettings>[1] = []) =>
  mergeSettings({ before, base, image }, rules);

describe('settings on a new base', () => {
  it.each<[string, object, object, object, object]>([
    ['the base changed', { User: 'a' }, { User: 'b' }, { User: 'a' }, { User: 'b' }],
    ['the base set', {}, { User: '1000', WorkingDir: '/srv' }, {}, { User: '1000', WorkingDir: '/srv' }],
    [
      'the base dropped',
      { StopSignal: 'INT', Volumes: { '/d': {} } },
      {},
      { StopSignal: 'INT', Volumes: { '/d': {} } },
      {},
    ],
    ['the image changed', { User: 'a' }, { User: 'a' }, { User: 'i' }, { User: 'i' }],
    [
      'the image dropped',
      { Labels: { a: '1', b: '2' } },
      { Labels: { a: '1', b: '2' } },
      { Labels: { b: '2' } },
      { Labels: { b: '2' } },
    ],
    ['both changed alike', { Cmd: ['a'] }, { Cmd: ['b'] }, { Cmd: ['b'] }, { Cmd: ['b'] }],
    ['are empty in one way or another', { User: '' }, { User: 'b' }, { Labels: {} }, { User: 'b' }],
    [
      'are variables, each by its name and in the base’s order',
      { Env: ['A=1', 'B=1'] },
      { Env: ['N=0', 'A=2', 'B=1'] },
      { Env: ['A=1', 'B=i', 'Z=='] },
      { Env: ['N=0', 'A=2', 'B=i', 'Z=='] },
    ],
    [
      'are ports of both',
      { ExposedPorts: { '80/tcp': {} } },
      { ExposedPorts: { '443/tcp': {} } },
      { ExposedPorts: { '80/tcp': {}, '9/udp': {} } },
      { ExposedPorts: { '443/tcp': {}, '9/udp': {} } },
    ],
    [
      'stk does not know',
      { Healthcheck: { Test: ['a'] } },
      { Healthcheck: { Test: ['b'] } },
      { Healthcheck: { Test: ['a'] }, Foreign: [1] },
      { Healthcheck: { Test: ['b'] }, Foreign: [1] },
    ],
    [
      'are the arguments of an entry point that the image replaced',
      { Entrypoint: ['e'], Cmd: ['c'] },
      { Entrypoint: ['e'], Cmd: ['d'] },
      { Entrypoint: ['i'] },
      { Entrypoint: ['i'] },
    ],
    [
      'are arguments that the image has, behind the base’s new entry point',
      { Entrypoint: ['e'] },
      { Entrypoint: ['f'] },
      { Entrypoint: ['e'], Cmd: ['x'] },
      { Entrypoint: ['f'], Cmd: ['x'] },
    ],
  ])('that %s', (_, before, base, image, expected) => {
    expect(merge(before, base, image)).toEqual({ settings: expected, settled: [], clashes: [] });
  });

  it('that both changed are clashes, all of them', () => {
    const { clashes } = merge({ User: 'a', Env: ['X=1'] }, { User: 'b', Env: ['X=2'] }, { User: 'c' });
    expect(clashes).toEqual([
      { name: 'config.User', base: 'b', image: 'c' },
      { name: 'config.Env.X', base: '2', image: undefined },
    ]);
  });

  it.each([
    ['first', { User: 'b', Labels: { 'a.b': '2' } }],
    ['last', { User: 'c', Labels: { 'a.b': '3' } }],
  ] as const)('that both changed are settled by a rule: %s', (resolution, settings) => {
    const merged = merge(
      { User: 'a', Labels: { 'a.b': '1' } },
      { User: 'b', Labels: { 'a.b': '2' } },
      { User: 'c', Labels: { 'a.b': '3' } },
      [
        { glob: '/config.User', resolution: 'merge' },
        { glob: 'config.Labels.*', resolution },
        { glob: 'config.U*', resolution },
      ],
    );
    expect(merged).toMatchObject({ settings, clashes: [], settled: [{ taken: resolution }, { taken: resolution }] });
  });

  it('refuses a rule that no setting can follow', () => {
    const rules = [{ glob: 'config.User', resolution: 'merge' as const }];
    expect(() => merge({}, { User: 'b' }, { User: 'c' }, rules)).toThrowError(
      expect.objectContaining({ code: 'invalid-input' }),
    );
  });

  it('leaves an image the labels that tell which image it is', () => {
    const label = (version: string) => ({ Labels: { 'org.opencontainers.image.version': version } });
    expect(merge(label('12.1'), label('12.2'), label('app 7'))).toMatchObject({
      settings: label('app 7'),
      settled: [{ name: 'config.Labels.org.opencontainers.image.version', taken: 'last' }],
      clashes: [],
    });
  });
});

describe('search paths', () => {
  it.each([
    ['/bin', '/bin:/opt/bin', '/app:/bin', '/app:/bin:/opt/bin'],
    ['/bin:/old', '/bin:/new', '/bin:/old:/app', '/bin:/new:/app'],
    ['/a:/b:/c', '/a:/b:/c:/d', '/a:/c', '/a:/c:/d'],
    ['/a:/b', '/b:/a', '/a:/x:/b', '/b:/a:/x'],
    ['', '/bin', '/app', '/app:/bin'],
    ['/bin', '', '/bin:/app', '/app'],
  ])('%s becoming %s, with %s in the image, is %s', (before, base, image, merged) => {
    expect(mergeSearchPath(before, base, image)).toBe(merged);
  });
});
