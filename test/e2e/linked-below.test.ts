import { writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { tarOf, type EntrySketch } from '../fixtures/layer-trees.ts';
import { requires } from '../rig/gates.ts';
import { rawManifest } from '../rig/sample-build.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('overlay', 'registry', 'tool:skopeo', 'tool:umoci', 'tool:unsquashfs');

/** An image of tar layers in the layout `img`. */
async function image(rig: StkRig, tag: string, ...layers: readonly (readonly EntrySketch[])[]): Promise<void> {
  const name = `${rig.path('img')}:${tag}`;
  await execa('umoci', ['new', '--image', name]);
  for (const entries of layers) {
    await writeFile(rig.path('layer.tar'), tarOf(...entries));
    await execa('umoci', ['raw', 'add-layer', '--image', name, rig.path('layer.tar')]);
  }
}

const link: readonly EntrySketch[] = [{ path: 'h', type: 'hardlink', linkPath: 'lib/f' }];
const below = (content: string): readonly EntrySketch[] => [
  { path: 'usr/f', content, mode: 0o4751, uid: 12 },
  { path: 'lib', type: 'symlink', linkPath: 'usr' },
];

/** Content, mode, names and owner of what the third layer has as `h`. */
async function linked(rig: StkRig, layout: string, tag: string): Promise<readonly string[]> {
  const { layers } = JSON.parse(await rawManifest(`oci:${rig.path(layout)}:${tag}`)) as {
    layers: { digest: string }[];
  };
  const blob = rig.path(`${layout}/blobs/sha256/${layers[2]!.digest.slice(7)}`);
  const root = rig.path(`unpacked-${layout}-${tag}`);
  await execa('unsquashfs', ['-f', '-d', root, blob]);
  const { stdout } = await execa('sh', ['-c', 'cat h; echo; stat -c "%A %h %u" h'], { cwd: root });
  return stdout.split('\n');
}

it('follows hard links into lower layers, wherever an image comes from, and remembers the result with what lies below', async () => {
  await using rig = await StkRig.open();
  await using registry = await rig.registry();
  await execa('umoci', ['init', '--layout', rig.path('img')]);
  for (const content of ['one', 'two']) await image(rig, content, below(content), [{ path: 'g' }], link);
  for (const content of ['one', 'two', 'one']) {
    await rig.ok(['convert', `oci:img:${content}`, `oci:out:${content}`]);
    expect(await linked(rig, 'out', content)).toEqual([content, '-rwsr-x--x 2 12']);
  }
  const remote = `docker://${registry.host}/linked:1`;
  await execa('skopeo', ['copy', '-q', '--dest-tls-verify=false', `oci:${rig.path('img')}:two`, remote]);
  await execa('skopeo', [
    'copy',
    '-q',
    `oci:${rig.path('img')}:two`,
    `docker-archive:${rig.path('saved.tar')}:linked:1`,
  ]);
  const digest = (text: string) => text.split(' ')[1];
  const local = digest(await rig.ok(['convert', 'oci:img:two', 'oci:out:local']));
  await rig.ok(['clean']);
  expect(digest(await rig.ok(['convert', remote, 'oci:out:remote']))).toBe(local);
  await rig.ok(['convert', 'saved.tar', 'oci:out:archive']);
  expect(await linked(rig, 'out', 'archive')).toEqual(['two', '-rwsr-x--x 2 12']);
  await rig.write('stacker.yaml', {
    app: { from: { type: 'docker', url: remote, insecure: true }, imports: [{ content: 'x', dest: '/usr/x' }] },
  });
  await rig.ok(['build']);
  expect(await linked(rig, 'oci', 'app')).toEqual(['two', '-rwsr-x--x 2 12']);
});

it('a link to what no layer has is a broken archive', async () => {
  await using rig = await StkRig.open();
  await execa('umoci', ['init', '--layout', rig.path('img')]);
  await image(rig, 't', below('x'), [{ path: 'usr/.wh.f' }, ...link]);
  const { exitCode, stderr } = await rig.stk(['convert', 'oci:img:t', 'oci:out:t']);
  expect([exitCode, stderr]).toEqual([9, expect.stringMatching(/hard link h points to lib\/f, which is neither/)]);
});
