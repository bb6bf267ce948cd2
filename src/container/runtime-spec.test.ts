import { describe, expect, it } from 'vitest';
import type { ImageConfig, RuntimeConfig } from '../oci/descriptor.ts';
import { mapToUser } from './runtime-spec-ids.ts';
import { volumeMount, volumePaths } from './runtime-spec-mounts.ts';
import { runtimeSpec, type SpecParts } from './runtime-spec.ts';

function image(config: RuntimeConfig, more: object = {}): ImageConfig {
  return { architecture: 'amd64', os: 'linux', config, rootfs: { type: 'layers', diff_ids: [] }, ...more };
}

function spec(config: RuntimeConfig, parts: Partial<SpecParts> = {}) {
  return runtimeSpec({
    image: image(config),
    user: { uid: 0, gid: 0, additionalGids: [] },
    command: [],
    terminal: false,
    readonlyRoot: true,
    hostname: 'app',
    volumes: [],
    ...parts,
  });
}

describe('the process', () => {
  it.each<[string, RuntimeConfig, readonly string[], readonly string[]]>([
    ['command alone', { Cmd: ['a', 'b'] }, [], ['a', 'b']],
    ['entry point and command', { Entrypoint: ['e'], Cmd: ['a'] }, [], ['e', 'a']],
    ["a given command in place of the image's", { Entrypoint: ['e'], Cmd: ['a'] }, ['x'], ['e', 'x']],
    ['a given command alone', {}, ['x', ''], ['x', '']],
  ])('%s', (_name, config, command, args) => {
    expect(spec(config, { command }).process.args).toEqual(args);
  });

  it.each<[string, RuntimeConfig, string]>([
    ['no command', {}, 'usage'],
    ['an empty program', { Cmd: ['', 'x'] }, 'usage'],
    ['a NUL in an argument', { Cmd: ['a\0b'] }, 'invalid-input'],
    ['a NUL in a variable', { Cmd: ['a'], Env: ['A=\0'] }, 'invalid-input'],
  ])('%s is refused', (_name, config, code) => {
    expect(() => spec(config)).toThrow(expect.objectContaining({ code }));
  });

  it('has a search path, variables that are variables, and a terminal type where there is one', () => {
    const path = expect.stringMatching(/^PATH=\/usr\/local\/sbin:/) as string;
    expect(spec({ Cmd: ['a'], Env: ['A=b=c', 'NONE', '=x', 'E='] }).process.env).toEqual([path, 'A=b=c', 'E=']);
    expect(spec({ Cmd: ['a'], Env: ['PATH=/x'] }, { terminal: true }).process.env).toEqual(['TERM=xterm', 'PATH=/x']);
    expect(spec({ Cmd: ['a'], Env: ['TERM=vt100', 'PATH='] }, { terminal: true }).process.env).toEqual([
      'TERM=vt100',
      'PATH=',
    ]);
  });

  it.each([
    [undefined, '/'],
    ['', '/'],
    ['/srv/', '/srv'],
    ['srv', '/srv'],
    ['/a/../../../b', '/b'],
  ])('works in %j as %j', (WorkingDir, cwd) => {
    expect(spec({ Cmd: ['a'], ...(WorkingDir === undefined ? {} : { WorkingDir }) }).process.cwd).toBe(cwd);
  });
});

it('annotations are the members of the image, and above them its labels', () => {
  const config = {
    Cmd: ['a'],
    StopSignal: 'SIGQUIT',
    ExposedPorts: { '443/tcp': {}, '80': {} },
    Labels: { 'org.opencontainers.image.author': 'label', own: '', '': 'dropped', __proto__x: 'y' },
  };
  const members = { author: 'somebody', created: '2020-01-01T00:00:00Z', variant: 'v3', 'os.features': ['a', 'b'] };
  expect(spec(config, { image: image(config, members) }).annotations).toEqual({
    'org.opencontainers.image.os': 'linux',
    'org.opencontainers.image.architecture': 'amd64',
    'org.opencontainers.image.variant': 'v3',
    'org.opencontainers.image.os.features': 'a,b',
    'org.opencontainers.image.author': 'label',
    'org.opencontainers.image.created': '2020-01-01T00:00:00Z',
    'org.opencontainers.image.stopSignal': 'SIGQUIT',
    'org.opencontainers.image.exposedPorts': '443/tcp,80',
    own: '',
    __proto__x: 'y',
  });
});

describe('volumes', () => {
  it("stand at canonical places, outer ones first, and never above the kernel's own", () => {
    const names = [
      '/srv/data/sub',
      '/srv/data/',
      'var/lib',
      '../../up',
      '/',
      '',
      '/proc',
      '/sys/x',
      '/dev/../etc/x',
      '/a\0',
    ];
    const config = { Volumes: Object.fromEntries(names.map(name => [name, {}])) };
    expect(volumePaths(image(config))).toEqual(['/etc/x', '/srv/data', '/srv/data/sub', '/up', '/var/lib']);
  });

  it("have the owner and mode of the image's directory, as far as ids are mapped", () => {
    const attributes = { mode: 0o1770, uid: 33, gid: 34 };
    expect(volumeMount('/d', { attributes, filled: true }).options).toEqual([
      ...['nosuid', 'nodev', 'tmpcopyup', 'mode=1770', 'uid=33', 'gid=34'],
    ]);
    const one = mapToUser({ uid: 1000, gid: 1000 }, { uids: [], gids: [] });
    expect(volumeMount('/d', { attributes, mappings: one, filled: true }).options).toEqual([
      'nosuid',
      'nodev',
      'tmpcopyup',
      'mode=1770',
    ]);
    expect(volumeMount('/d', { filled: false }).options).toEqual(['nosuid', 'nodev', 'mode=755']);
  });
});

describe('an ordinary user', () => {
  const ranges = {
    uids: [{ first: 100_000, count: 65_536 }],
    gids: [
      { first: 7, count: 2 },
      { first: 50, count: 10 },
    ],
  };

  it('is root of a user namespace, with subordinate ids above', () => {
    expect(mapToUser({ uid: 1000, gid: 1001 }, ranges)).toEqual({
      uids: [
        { containerID: 0, hostID: 1000, size: 1 },
        { containerID: 1, hostID: 100_000, size: 65_536 },
      ],
      gids: [
        { containerID: 0, hostID: 1001, size: 1 },
        { containerID: 1, hostID: 7, size: 2 },
        { containerID: 3, hostID: 50, size: 10 },
      ],
    });
  });

  it('gets no network, device rules or sysfs of its own', () => {
    const mappings = mapToUser({ uid: 1000, gid: 1000 }, { uids: [], gids: [] });
    const { linux, mounts } = spec({ Cmd: ['a'] }, { mappings });
    expect(linux).toMatchObject({ uidMappings: mappings.uids, gidMappings: mappings.gids });
    expect(linux).not.toHaveProperty('resources');
    expect(JSON.stringify(linux)).not.toContain('"network"');
    expect(mounts.find(mount => mount.destination === '/sys')).toMatchObject({ type: 'none', source: '/sys' });
    expect(JSON.stringify(mounts)).not.toContain('gid=5');
  });
});
