import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { StkRig } from '../rig/stk-rig.ts';

const file = (content: string, dest: string) => ({ imports: [{ content, dest }] });
const layersOf = async (rig: StkRig, image: string) =>
  (JSON.parse(await rig.ok(['inspect', image, '--json'])) as { layers: { role: string; digest: string }[] }).layers;

/** Builds images into layouts of their own, and sends each with tar layers to the registry. */
async function publishTar(rig: StkRig, images: Readonly<Record<string, object>>): Promise<void> {
  for (const [place, recipe] of Object.entries(images)) {
    const name = place.replaceAll(/\W/g, '-');
    await rig.write(`${name}.yaml`, { image: recipe });
    await rig.ok(['--oci-dir', name, 'build', '-f', `${name}.yaml`]);
    await rig.ok(['convert', `oci:${name}:image`, `docker://${place}`, '--layer-type', 'tar']);
  }
}

describe('images that were built of images with tar layers', () => {
  it('are updated like others: one entry, another one, the base', async () => {
    await using rig = await StkRig.open();
    await using registry = await FakeRegistry.start();
    const at = (name: string) => `docker://${registry.host}/${name}`;
    const from = (name: string) => ({ type: 'docker', url: at(name) });
    await publishTar(rig, {
      [`${registry.host}/debian:1`]: { from: { type: 'scratch' }, ...file('one', '/os') },
      [`${registry.host}/debian:2`]: { from: { type: 'scratch' }, ...file('two', '/os') },
      [`${registry.host}/redis:1`]: { from: from('debian:1'), ...file('r1', '/redis') },
      [`${registry.host}/redis:2`]: { from: from('debian:1'), ...file('r2', '/redis-2') },
    });
    await rig.write('stacker.yaml', {
      mime: { from: from('debian:1'), ...file('m1', '/mime') },
      mime2: { from: from('debian:1'), ...file('m2', '/mime-2') },
      app: { from: from('debian:1'), apply: ['mime', at('redis:1')], ...file('a', '/app') },
      plain: { from: from('debian:1'), ...file('a', '/app') },
    });
    await rig.ok(['build']);
    await rig.ok(['update', 'app', '--apply', 'mime=mime2']);
    expect(await rig.ok(['ls', 'app:/'])).toBe('app\nmime-2\nos\nredis\n');
    await rig.ok(['update', 'app', '--apply', `redis=${at('redis:2')}`]);
    expect(await rig.ok(['ls', 'app:/'])).toBe('app\nmime-2\nos\nredis-2\n');
    expect((await layersOf(rig, 'app')).map(({ role }) => role)).toEqual(['base', 'apply', 'apply', 'import']);
    await rig.ok(['update', 'plain', '--base', at('debian:2')]);
    expect(await rig.ok(['diff', 'plain', at('debian:2'), '--json']).catch(String)).not.toContain('"/os"');
    await rig.ok(['verify', 'plain']);
  });
});

describe('what an image applies', () => {
  it('is found in the image itself, wherever image and entries went', async () => {
    await using rig = await StkRig.open();
    await using registry = await FakeRegistry.start();
    const at = (name: string) => `docker://${registry.host}/y/${name}`;
    const line = (content: string) => file(content, '/l');
    const on = { from: { type: 'built', tag: 'base' } };
    await rig.write('stacker.yaml', {
      base: { from: { type: 'scratch' }, ...line('1\n2\n3\n4\n5\n6\n') },
      s1: { ...on, ...line('s1\n2\n3\n4\n5\n6\n') },
      s2: { ...on, ...line('s2\n2\n3\n4\n5\n6\n') },
      t1: { ...on, ...line('1\n2\n3\n4\n5\nt1\n') },
      app: { ...on, apply: ['s1', 't1'] },
    });
    await rig.ok(['build']);
    for (const [name, place] of [
      ['s2', 's2:1'],
      ['app', 'apps/app:1'],
    ] as const) {
      await rig.ok(['publish', name, at(place)]);
    }
    registry.requests.length = 0;
    await rig.ok(['update', at('apps/app:1'), '--apply', `s1=${at('s2:1')}`]);
    expect(registry.count(/^GET .*\/t1\//)).toBe(0);
    await rig.ok(['convert', at('apps/app:1'), 'oci:oci:back']);
    const merged = (await layersOf(rig, 'back')).find(({ role }) => role === 'merge')!;
    const blob = rig.path('oci/blobs/sha256', merged.digest.slice('sha256:'.length));
    expect((await execa('unsquashfs', ['-cat', blob, 'l'])).stdout).toBe('s2\n2\n3\n4\n5\nt1');
  });
});

describe('an update of all images', () => {
  const on = (tag: string) => ({ from: { type: 'built', tag } });
  const recipe = (apps: number, ssl: string) => ({
    base: { from: { type: 'scratch' }, ...file('base', '/base') },
    ssl: { ...on('base'), ...file(ssl, '/ssl') },
    ...Object.fromEntries(
      Array.from({ length: apps }, (_, index) => [
        `app${index}`,
        { ...on('base'), apply: ['ssl'], ...file(`${index}`, '/app') },
      ]),
    ),
    child: { ...on('app0'), ...file('child', '/child') },
  });

  it('names those that it does not reach', async () => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', recipe(1, 'one'));
    await rig.ok(['build']);
    await rig.write('stacker.yaml', recipe(1, 'two'));
    await rig.ok(['build', 'ssl']);
    const outcomes = JSON.parse(await rig.ok(['update', '--all', '--apply', 'ssl', '--json'])) as object[];
    const left = {
      image: 'child',
      outcome: 'left-behind',
      standsOn: 'app0',
      layers: [expect.stringMatching(/^sha256:/)],
    };
    expect(outcomes).toEqual([
      expect.objectContaining({ tag: 'app0', outcome: 'updated' }),
      expect.objectContaining(left),
    ]);
    const holders = JSON.parse(await rig.ok(['holders', 'child', '--json'])) as { name: string }[];
    expect(holders.map(({ name }) => name)).toEqual(['child']);
    const [, old] = await layersOf(rig, 'child');
    expect(await rig.ok(['holders', old!.digest])).toMatch(/^IMAGE +DIGEST +LAYER +AS\nchild +\w{12} +\w{12} +base\n$/);
    expect(await rig.ok(['holders', 'ssl'])).toMatch(/^app0 .* apply ssl$/m);
    // The next time, no layer is removed any more, and the child still stands on an older version.
    expect(await rig.ok(['update', '--all', '--apply', 'ssl'])).toMatch(
      /^child .* stands on app0: .*stk update child --base$/m,
    );
    await rig.ok(['update', 'child', '--base']);
    expect(await rig.ok(['update', '--all', '--apply', 'ssl'])).not.toMatch(/child/);
    expect(await rig.ok(['diff', 'app0', 'child', '--json'])).not.toContain('"/ssl"');
  });

  it('goes on where another one moves tags at the same time', async () => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', recipe(6, 'one'));
    await rig.ok(['build']);
    await rig.write('stacker.yaml', recipe(6, 'two'));
    await rig.ok(['build', 'ssl']);
    const update = ['update', '--all', '--apply', 'ssl'];
    const both = await Promise.all([rig.stk(update), rig.stk(update)]);
    expect(both.map(({ exitCode, stderr }) => ({ exitCode, stderr }))).toMatchObject([
      { exitCode: 0 },
      { exitCode: 0 },
    ]);
    expect((await rig.ok(update)).match(/is up to date$/gm)).toHaveLength(6);
  });
});
