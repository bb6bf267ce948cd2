import { describe, expect, it } from 'vitest';
import type { ImageConfig, RuntimeConfig } from '../oci/descriptor.ts';
import { containerCommand, containerEnvironment, stopSignal, type RunSettings } from './run-settings.ts';

const image = (config: RuntimeConfig): ImageConfig => ({
  architecture: 'amd64',
  os: 'linux',
  config,
  rootfs: { type: 'layers', diff_ids: [] },
});
const settings = (changes: Partial<RunSettings> = {}): RunSettings => ({
  command: [],
  entrypoint: undefined,
  environment: {},
  user: undefined,
  workingDirectory: undefined,
  hostname: 'box',
  tty: false,
  term: undefined,
  ...changes,
});

describe('the command', () => {
  const both = image({ Entrypoint: ['/e'], Cmd: ['c'] });
  it.each<[string, Partial<RunSettings>, readonly string[]]>([
    ['of the image', {}, ['/e', 'c']],
    ['with other arguments', { command: ['x', 'y'] }, ['/e', 'x', 'y']],
    ['with another entry point', { entrypoint: '/f' }, ['/f']],
    ['without an entry point', { entrypoint: '', command: ['x'] }, ['x']],
  ])('%s', (_name, changes, expected) => {
    expect(containerCommand(both, settings(changes))).toEqual(expected);
  });

  it.each([image({}), image({ Entrypoint: [], Cmd: [] }), image({ Cmd: [''] })])('is missing in %j', config => {
    expect(() => containerCommand(config, settings())).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});

describe('the environment', () => {
  it('takes what is given over what the image says over what is usual', () => {
    const config = image({ Env: ['PATH=/bin', 'A=1=2', 'B=b', 'nothing', '=x'] });
    expect(containerEnvironment(config, settings({ environment: { B: 'mine' } }), '/home/ann')).toEqual({
      PATH: '/bin',
      HOSTNAME: 'box',
      HOME: '/home/ann',
      A: '1=2',
      B: 'mine',
    });
    expect(containerEnvironment(image({}), settings({ tty: true, term: 'screen' }), undefined)).toMatchObject({
      HOME: '/',
      TERM: 'screen',
    });
  });

  it.each<[string, readonly string[]]>([
    ['a NUL', ['A=\0']],
    ['one that is too large', [`A=${'x'.repeat(131_072)}`]],
    ['too much together', Array.from({ length: 20 }, (_, index) => `A${index}=${'x'.repeat(60_000)}`)],
    ['too many', Array.from({ length: 3000 }, (_, index) => `A${index}=`)],
  ])('refuses %s', (_name, Env) => {
    expect(() => containerEnvironment(image({ Env }), settings(), undefined)).toThrow(
      expect.objectContaining({ code: 'invalid-input' }),
    );
  });
});

describe('the stop signal', () => {
  it.each<[string | undefined, string | number]>([
    [undefined, 'SIGTERM'],
    ['SIGQUIT', 'SIGQUIT'],
    ['int', 'SIGINT'],
    ['15', 'SIGTERM'],
    ['SIGRTMIN+3', 37],
  ])('%s is %s', (StopSignal, expected) => {
    expect(stopSignal(image(StopSignal === undefined ? {} : { StopSignal }))).toBe(expected);
  });

  it.each(['SIGNOTHING', '999', '../x'])('refuses %s', StopSignal => {
    expect(() => stopSignal(image({ StopSignal }))).toThrow(expect.objectContaining({ code: 'invalid-input' }));
  });
});
