import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../core/digest.ts';
import type { Descriptor, HistoryEntry } from '../oci/descriptor.ts';
import {
  APPLY_DIGEST,
  APPLY_NAME,
  LAYER_ROLE,
  renumberedAnnotations,
  type AppliedEntry,
} from '../oci/layer-annotations.ts';
import { MemoryStore } from '../oci/memory-store.ts';
import { heldImage } from './held-image.ts';
import { composeUpdate } from './update-compose.ts';
import { planUpdate, type StoredImage, type UpdateParts } from './update-plan.ts';
import { splitImage } from './update-segments.ts';

const SQUASHFS = 'application/vnd.stacker.image.layer.squashfs+zstd';
const store = new MemoryStore();

/** `ROLE:CONTENT`, or `CONTENT` alone for a layer that does not say what it is. */
function layer(text: string): Descriptor {
  const [role, content] = text.includes(':') ? (text.split(':') as [string, string]) : [undefined, text];
  const descriptor = { mediaType: SQUASHFS, digest: digestOf(content), size: content.length };
  return role === undefined ? descriptor : { ...descriptor, annotations: { [LAYER_ROLE]: role } };
}

function image(name: string, layers: readonly string[], more: Partial<StoredImage['manifest']> = {}): StoredImage {
  const descriptors = layers.map(layer);
  const history: HistoryEntry[] = layers.map(created_by => ({ created_by }));
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(name), size: 1 };
  return {
    name,
    store,
    descriptor: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digestOf(`m ${name}`), size: 1 },
    manifest: { schemaVersion: 2, config, layers: descriptors, ...more },
    config: {
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: descriptors.map(({ digest }) => digest) },
      history: [...history, { created_by: 'CMD', empty_layer: true }],
    },
  };
}

function applied(name: string, layers: readonly string[], conflicts: AppliedEntry['conflicts'] = []) {
  const found = image(name, layers);
  const entry = { name, ref: name, digest: found.descriptor.digest, anyBase: false, conflicts };
  return { entry, image: found };
}

const parts = (...list: readonly ReturnType<typeof applied>[]): UpdateParts => ({ base: undefined, applied: list });
const contents = (...list: readonly string[]): Digest[] => list.map(text => digestOf(text));
const app = image('app', ['base:b', 'apply:s1', 'apply:t1', 'merge:m', 'import:i', 'run:r', 'update:u']);

describe('the layers of an image by their roles', () => {
  it('are told apart', () => {
    const { base, applied: found, merge, kept, update, after } = splitImage(app.manifest, app.config, 'app');
    const digests = (list: readonly { readonly descriptor: Descriptor }[]) => list.map(each => each.descriptor.digest);
    expect(digests(base)).toEqual(contents('b'));
    expect(digests(found)).toEqual(contents('s1', 't1'));
    expect(digests([merge!, ...kept, update!])).toEqual(contents('m', 'i', 'r', 'u'));
    expect(after).toEqual([{ created_by: 'CMD', empty_layer: true }]);
  });

  it.each([
    [['x', 'y']],
    [['run:r', 'base:b']],
    [['base:b', 'run:r', 'apply:s']],
    [['base:b', 'merge:m', 'merge:n']],
    [['base:b', 'update:u', 'update:v']],
    [['base:b', 'update:u', 'run:r']],
  ])('are refused where they make no sense: %j', layers => {
    const odd = image('odd', layers);
    expect(() => splitImage(odd.manifest, odd.config, 'odd')).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });

  it('are refused where one is a tar', () => {
    const tar = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: digestOf('t'), size: 1 };
    const odd = image('odd', [], { layers: [tar] });
    expect(() => splitImage(odd.manifest, odd.config, 'odd')).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });
});

describe('the plan of an update', () => {
  it('says that nothing changed where the layers are the same', () => {
    expect(planUpdate(app, parts(applied('s', ['base:b', 's1']), applied('t', ['base:b', 't1']))).unchanged).toBe(true);
    expect(planUpdate(app, parts(applied('t', ['base:b', 't1']), applied('s', ['base:b', 's1']))).unchanged).toBe(
      false,
    );
  });

  it('puts the new layers where the old ones were, each once, named after whom they came with', () => {
    const plan = planUpdate(app, parts(applied('s', ['base:b', 's2', 'x']), applied('t', ['base:b', 'x', 't1'])));
    expect(plan.applied.map(({ descriptor }) => descriptor.digest)).toEqual(contents('s2', 'x', 't1'));
    expect(plan.applied.map(({ descriptor }) => descriptor.annotations?.[APPLY_NAME])).toEqual(['s', 's', 't']);
    expect(plan.applied[0]!.descriptor.annotations?.[APPLY_DIGEST]).toBe(digestOf('m s'));
  });

  it('merges whole trees with the base as ancestor, by the rules of each entry', () => {
    const t = applied('t', ['base:b', 't1'], [['/etc/*', 'last']]);
    const { merge, rules } = planUpdate(app, parts(applied('s', ['base:b', 's2']), t));
    expect(merge).toEqual({
      ancestor: contents('b'),
      sides: [
        { name: 's', tree: contents('b', 's2'), own: contents('s2'), rules: [] },
        { name: 't', tree: contents('b', 't1'), own: contents('t1'), rules: [{ glob: '/etc/*', resolution: 'last' }] },
      ],
      plain: contents('b', 's2', 't1'),
      previous: { layers: contents('b', 's1', 't1', 'm'), chosen: { user: new Set(), group: new Set() } },
    });
    expect(rules).toEqual([{ glob: '/etc/*', resolution: 'last' }]);
  });

  it('tells which accounts got their ids from a merge', () => {
    const redis = { image: 'r', from: 101, to: 301, paths: 1, bytes: 1 };
    const layers = app.manifest.layers.map(each => {
      const role = each.annotations?.[LAYER_ROLE];
      const kind = role === 'merge' ? 'user' : role === 'update' ? 'group' : undefined;
      const annotations = kind && { ...each.annotations, ...renumberedAnnotations([{ kind, name: 'grün', ...redis }]) };
      return annotations ? { ...each, annotations } : each;
    });
    const given = { ...app, manifest: { ...app.manifest, layers } };
    const { chosen } = planUpdate(given, parts(applied('s', ['base:b', 's2']), applied('t', ['base:b', 't1'])));
    const name = Buffer.from('grün').toString('latin1');
    expect(chosen).toEqual({ user: new Set([name]), group: new Set([name]) });
  });

  it('needs no merge where one image alone is applied', () => {
    expect(planUpdate(app, parts(applied('s', ['base:b', 's2']))).merge).toBeUndefined();
  });

  it.each<[string, UpdateParts, string]>([
    ['another base', parts(applied('s', ['base:c', 's2'])), 'conflict'],
    ['a rule that nobody knows', parts(applied('s', ['base:b', 's2'], [['/x', 'maybe']])), 'invalid-input'],
  ])('refuses %s', (_, given, code) => {
    expect(() => planUpdate(app, given)).toThrow(expect.objectContaining({ code }));
  });

  it('refuses two sizes of one blob', () => {
    const other = applied('s', ['base:b', 's2', 's1']);
    const layers = other.image.manifest.layers.map(each => ({ ...each, size: 99 }));
    const lying = { ...other, image: { ...other.image, manifest: { ...other.image.manifest, layers } } };
    expect(() => planUpdate(app, parts(lying))).toThrow(expect.objectContaining({ code: 'invalid-input' }));
  });
});

describe('what was applied, as the image itself holds it', () => {
  it.each([
    ['in full', 1, ['s1'], ['b', 's1']],
    ['with a layer that it shares with another', 1, ['t1', 's1'], ['b', 't1', 's1']],
    ['on a part of the base', 0, ['t1'], ['t1']],
  ])('is found %s', (_, shared, own, layers) => {
    const { entry } = applied('s', ['base:b']);
    const found = heldImage(app, { ...entry, held: { shared, own: contents(...own) } });
    expect(found?.manifest.layers.map(({ digest }) => digest)).toEqual(contents(...layers));
    expect(found?.config.rootfs.diff_ids).toEqual(contents(...layers));
    expect(found?.descriptor.digest).toBe(entry.digest);
  });

  it.each([
    ['is not said', undefined],
    ['is not there', { shared: 1, own: contents('s0') }],
    ['stands on more than there is', { shared: 2, own: contents('s1') }],
  ])('is nothing where it %s', (_, held) => {
    expect(heldImage(app, { ...applied('s', ['base:b']).entry, held })).toBeUndefined();
  });

  it('gives the same plan as the image that was applied', () => {
    const s = applied('s', ['base:b', 's1']);
    const t = applied('t', ['base:b', 't1']);
    const { entries } = planUpdate(app, parts(s, t));
    const held = entries.map(entry => ({ entry, image: heldImage(app, entry)! }));
    const [fetched, own] = [planUpdate(app, parts(s, t)), planUpdate(app, { base: undefined, applied: held })];
    expect(own.applied.map(each => each.descriptor)).toEqual(fetched.applied.map(each => each.descriptor));
    expect([own.unchanged, own.merge]).toEqual([fetched.unchanged, fetched.merge]);
  });
});

describe('the new manifest', () => {
  it('has as many entries of history as layers, empty ones aside', () => {
    const given = parts(applied('s', ['base:b', 's2', 's3']));
    const plan = planUpdate(app, given);
    const { config } = composeUpdate(
      app,
      given,
      { ...plan, merge: undefined, update: undefined, settings: undefined },
      'now',
    );
    const value = JSON.parse(Buffer.from(config.bytes).toString()) as StoredImage['config'];
    const made = value.history!.map(entry => entry.created_by);
    expect(made).toEqual(['base:b', 'stk apply s', 'stk apply s', 'import:i', 'run:r', 'CMD']);
    expect(value.rootfs.diff_ids).toEqual(contents('b', 's2', 's3', 'i', 'r'));
  });
});
