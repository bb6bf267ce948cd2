import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../core/digest.ts';
import { composeImage, type AddedLayer, type ComposedLayer } from '../oci/compose.ts';
import type { ImageConfig } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';
import type { ImageSettings } from '../recipe/model.ts';
import { imageSettings } from './image-settings.ts';
import { tagFor } from './layer-types.ts';

const nothing: ImageSettings = {
  environment: {},
  labels: {},
  volumes: [],
  workingDir: undefined,
  runtimeUser: undefined,
  cmd: undefined,
  entrypoint: undefined,
  fullCommand: undefined,
};

describe('imageSettings', () => {
  const base = {
    User: 'www',
    Env: ['PATH=/bin', 'LANG=C'],
    Entrypoint: ['/init'],
    Cmd: ['serve'],
    WorkingDir: '/srv',
    Labels: { a: '1' },
    Volumes: { '/data': {} },
    ExposedPorts: { '80/tcp': {} },
    StopSignal: 'SIGQUIT',
  };

  it('inherits everything that the recipe does not set', () => {
    expect(imageSettings(base, nothing, {})).toEqual(base);
  });

  it.each<[string, Partial<ImageSettings>, object]>([
    ['entrypoint clears cmd', { entrypoint: ['/new'] }, { Entrypoint: ['/new'], Cmd: undefined }],
    ['cmd keeps entrypoint', { cmd: ['x'] }, { Entrypoint: ['/init'], Cmd: ['x'] }],
    ['both', { entrypoint: ['/new'], cmd: ['x'] }, { Entrypoint: ['/new'], Cmd: ['x'] }],
    [
      'full_command is the entrypoint, and clears cmd',
      { fullCommand: ['all'] },
      { Entrypoint: ['all'], Cmd: undefined },
    ],
  ])('%s', (_name, settings, expected) => {
    const { Entrypoint, Cmd } = imageSettings(base, { ...nothing, ...settings }, {});
    expect({ Entrypoint, Cmd }).toEqual({ Entrypoint: undefined, Cmd: undefined, ...expected });
  });

  it('merges variables in place, labels, generated labels and volumes', () => {
    const settings = { ...nothing, environment: { PATH: '/new', B: 'x=y' }, labels: { b: '2' }, volumes: ['/more'] };
    expect(imageSettings(base, settings, { c: '3' })).toMatchObject({
      Env: ['PATH=/new', 'LANG=C', 'B=x=y'],
      Labels: { a: '1', b: '2', c: '3' },
      Volumes: { '/data': {}, '/more': {} },
    });
  });

  it('of nothing on nothing is empty', () => {
    expect(imageSettings(undefined, nothing, {})).toEqual({});
  });
});

describe('composeImage', () => {
  const layer = (name: string): ComposedLayer => {
    const digest = digestOf(name);
    return { descriptor: { mediaType: MediaType.layerSquashfsZstd, digest, size: 1 }, diffId: digest };
  };
  const compose = (base: ImageConfig | undefined, baseLayers: ComposedLayer[], added: AddedLayer[]) => {
    const { config } = composeImage({
      platform: { os: 'linux', architecture: 'amd64' },
      base,
      baseLayers,
      added,
      config: {},
      annotations: {},
      created: '2020-01-01T00:00:00Z',
    });
    return JSON.parse(Buffer.from(config.bytes).toString()) as ImageConfig & { readonly extra?: string };
  };
  const step = (name: string | undefined): AddedLayer => ({
    layer: name === undefined ? undefined : layer(name),
    created: '2020-01-01T00:00:00Z',
    createdBy: 'stk run',
  });

  it('pairs history with layers one to one, empty entries aside', () => {
    const config = compose(undefined, [], [step('a'), step(undefined), step('b')]);
    expect(config.rootfs.diff_ids).toEqual([digestOf('a'), digestOf('b')]);
    expect(config.history?.map(entry => entry.empty_layer ?? false)).toEqual([false, true, false]);
  });

  it.each<[string, ImageConfig['history'], number]>([
    ['a base history that fits is kept', [{ created_by: 'x' }, { created_by: 'y', empty_layer: true }], 2],
    ['one that does not fit is replaced', [{ created_by: 'x' }, { created_by: 'y' }], 1],
    ['none is made up', undefined, 1],
  ])('%s', (_name, history, length) => {
    const base = { architecture: 'arm64', os: 'linux', rootfs: { type: 'layers' as const, diff_ids: [] as Digest[] } };
    const config = compose({ ...base, ...(history ? { history } : {}) }, [layer('base')], []);
    expect(config.history).toHaveLength(length);
    expect(config.history?.filter(entry => entry.empty_layer !== true)).toHaveLength(1);
  });

  it('passes on members that it does not know', () => {
    const base = {
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers' as const, diff_ids: [] },
      extra: 'kept',
    };
    expect(compose(base, [], []).extra).toBe('kept');
  });
});

it.each([
  [['squashfs'], 'squashfs', 'app'],
  [['squashfs', 'tar'], 'tar', 'app-tar'],
  [['tar', 'squashfs'], 'tar', 'app'],
  [['tar', 'squashfs'], 'squashfs', 'app-squashfs'],
] as const)('tag for %s, %s', (wanted, type, tag) => expect(tagFor('app', type, wanted)).toBe(tag));
