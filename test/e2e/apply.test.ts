import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { SHELL, inspectImage, type Settings } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { differences, listDirectory, listImage } from '../rig/tree-listing.ts';
import type { Actor } from '../rig/users.ts';

requires('root', 'userns', 'overlay', 'fuse', 'tool:busybox', 'tool:umoci');

const EPOCH = { SOURCE_DATE_EPOCH: '1700000000' };

const on = (tag: string, settings: Settings): Settings => ({ from: { type: 'built', tag }, ...settings });

/** Two images that change the same files of one base, and one on which both were done one after the other. */
const BASE = on('shell', {
  build_only: true,
  run: [
    'mkdir -p /d/sub /keep /gone',
    "printf 'one\\ntwo\\nthree\\nfour\\nfive\\n' > /etc/text",
    "printf 'root:x:0:0:root:/root:/bin/sh\\n' > /etc/passwd",
    'echo f > /d/sub/f; echo g > /gone/g; echo k > /keep/k; chmod 0640 /keep/k',
  ],
});
const A = [
  'sed -i s/one/ONE/ /etc/text',
  'echo aa:x:100:100::/:/bin/sh >> /etc/passwd',
  'echo a > /d/a; rm /d/sub/f; chmod 0700 /keep',
  'mkdir /opaque; echo a > /opaque/a; chmod 0644 /keep/k',
];
const B = [
  'sed -i s/five/FIVE/ /etc/text',
  'echo bb:x:101:101::/:/bin/sh >> /etc/passwd',
  'echo b > /d/b; rm -r /gone; chown 7 /keep/k; ln -s a /d/link; mkfifo /d/fifo',
  // Marked as opaque by overlayfs where nothing was; beside the other image it must hide nothing.
  'mkdir /opaque; echo b > /opaque/b',
];
const IMAGES = {
  shell: SHELL,
  base: BASE,
  a: on('base', { run: A }),
  b: on('base', { run: B }),
  both: on('base', { run: [...A, ...B.map(line => line.replace('mkdir /opaque', 'mkdir -p /opaque'))] }),
};

describe.each<Actor>(['root', 'user'])('apply as %s', actor => {
  it('shares layers verbatim, and the merged tree is that of doing both in turn', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('stacker.yaml', {
      ...IMAGES,
      app: on('base', { apply: ['a', 'b'], run: 'cat /etc/text /opaque/a /opaque/b; echo done > /etc/done' }),
      other: on('base', { apply: ['a', 'b'] }),
    });
    await rig.ok(['build', '--metadata-file', 'metadata.json'], { env: EPOCH });
    const [a, b, app, other] = await Promise.all(['a', 'b', 'app', 'other'].map(name => inspectImage(rig, name)));
    const last = (image: typeof a) => image!.layers.at(-1)!.digest;
    expect(app!.layers.map(layer => layer.role)).toEqual(['base', 'base', 'base', 'apply', 'apply', 'merge', 'run']);
    expect(app!.layers.slice(3, 5).map(layer => layer.digest)).toEqual([last(a), last(b)]);
    expect(other!.layers.map(layer => layer.digest)).toEqual(app!.layers.slice(0, -1).map(layer => layer.digest));
    expect(app!.config.history.map(entry => entry['created_by'])).toEqual([
      'stk imports /bin/busybox',
      'stk run',
      'stk run',
      'stk apply a',
      'stk apply b',
      expect.stringMatching(/^stk merge \d+ paths$/),
      'stk run',
    ]);
    const found = await listImage(rig.path('oci'), 'other');
    expect(differences(found, await listImage(rig.path('oci'), 'both'), /^$/)).toEqual([]);
    const metadata = JSON.parse(await readFile(rig.path('metadata.json'), 'utf8')) as {
      images: { name: string; merged: { path: string; driver: string }[] }[];
    };
    expect(metadata.images.find(image => image.name === 'app')!.merged).toEqual([
      { path: '/etc/passwd', driver: 'accounts', sides: ['a', 'b'] },
      { path: '/etc/text', driver: 'text', sides: ['a', 'b'] },
      { path: '/keep', driver: 'layers', sides: ['a'] },
      { path: '/keep/k', driver: 'attributes', sides: ['a', 'b'] },
    ]);
  });
});

describe('apply', () => {
  it('gives the same bytes to everybody, and an unchanged build does nothing', async () => {
    const digests: string[] = [];
    for (const actor of ['root', 'user'] as const) {
      await using rig = await StkRig.open({ as: actor });
      await rig.write('stacker.yaml', { ...IMAGES, app: on('base', { apply: ['a', 'b'] }) });
      digests.push(await rig.ok(['build', 'app'], { env: EPOCH }));
      const again = await rig.stk(['build', '--progress', 'plain', 'app'], { env: EPOCH });
      expect(again).toMatchObject({ exitCode: 0, stdout: digests.at(-1) });
      expect(again.stderr).not.toContain('merge');
    }
    expect(digests[0]).toBe(digests[1]);
  });

  it('takes images of layouts and registries, tar layers included, and appends what is not held yet', async () => {
    await using rig = await StkRig.open({ as: 'root' });
    const registry = await rig.registry();
    await rig.write('lib/stacker.yaml', { ...IMAGES, ab: on('a', { run: 'echo ab > /d/ab' }) });
    await rig.ok(['build', '-f', 'lib/stacker.yaml', '--layer-type', 'squashfs', '--layer-type', 'tar']);
    await rig.ok(['publish', 'oci:oci:a', `docker://${registry.host}/lib/a:1`, '--tls-verify=false']);
    await rig.ok(['build', '-f', 'lib/stacker.yaml']);
    await rig.write('stacker.yaml', {
      base: { from: `oci:oci:both`, build_only: true },
      app: {
        from: { type: 'docker', url: `docker://${registry.host}/lib/a:1`, insecure: true },
        apply: ['oci:oci:ab', { image: 'oci:oci:b', base: 'any' }],
      },
    });
    await rig.ok(['build', 'app']);
    const app = await inspectImage(rig, 'app');
    expect(app.layers.map(layer => layer.role)).toEqual(['base', 'base', 'base', 'base', 'apply', 'apply', 'merge']);
    const found = await listImage(rig.path('oci'), 'app');
    expect(found.get('d/ab')).toBeDefined();
    const both = await listImage(rig.path('oci'), 'both');
    expect(differences(found, both, /^d\/ab$/)).toEqual([]);
  });

  it('writes tar images that unpack to the same tree', async () => {
    await using rig = await StkRig.open({ as: 'root' });
    await rig.write('stacker.yaml', { ...IMAGES, app: on('base', { apply: ['a', 'b'] }) });
    await rig.ok(['build', 'app', 'both', '--layer-type', 'squashfs', '--layer-type', 'tar']);
    await execa('umoci', ['unpack', '--image', `${rig.path('oci')}:app-tar`, rig.path('unpacked')]);
    const unpacked = await listDirectory(rig.path('unpacked/rootfs'));
    expect(differences(unpacked, await listImage(rig.path('oci'), 'both'), /^$/)).toEqual([]);
  });

  it('reports all conflicts together with rules to paste, and the rules settle them', async () => {
    await using rig = await StkRig.open();
    const images = {
      shell: SHELL,
      base: BASE,
      a: on('base', { run: ['echo a > /etc/motd', 'rm -r /d/sub', 'sed -i s/two/A/ /etc/text'] }),
      b: on('base', { run: ['echo b > /etc/motd', 'echo b > /d/sub/new', 'sed -i s/two/B/ /etc/text'] }),
    };
    await rig.write('stacker.yaml', { ...images, app: on('base', { apply: ['a', 'b'] }) });
    const { exitCode, stderr } = await rig.stk(['build']);
    expect(exitCode).toBe(12);
    for (const text of ['3 conflicts', '/etc/motd', '/d/sub', '/etc/text', '<<<<<<< a', '>>>>>>> b', 'conflicts:']) {
      expect(stderr).toContain(text);
    }
    const conflicts = { '/etc/motd': 'first', '/d/sub': 'last', '/etc/*': 'last' };
    await rig.write('stacker.yaml', { ...images, app: on('base', { apply: ['a', { image: 'b', conflicts }] }) });
    await rig.ok(['build']);
    const found = await listImage(rig.path('oci'), 'app');
    const b = await listImage(rig.path('oci'), 'b');
    expect(found.get('etc/motd')).toBe((await listImage(rig.path('oci'), 'a')).get('etc/motd'));
    expect([found.get('d/sub/new'), found.get('d/sub/f')]).toEqual([b.get('d/sub/new'), b.get('d/sub/f')]);
    expect(found.get('etc/text')).toBe(b.get('etc/text'));
  });

  it.each([
    ['an image on another base', { apply: ['far'] }, 12, ['far was built on elsewhere, and this image on base']],
    ['an image that vanished', { apply: ['oci:oci:nowhere'] }, 8, ['nowhere']],
    ['itself', { apply: ['app'] }, 3, ['app -> app']],
    ['a rule that is no glob', { apply: ['a', { image: 'b', conflicts: { '': 'last' } }] }, 9, ['glob']],
  ])('refuses %s', async (_name, settings, status, texts) => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', {
      ...IMAGES,
      elsewhere: on('shell', { build_only: true, run: 'echo e > /e' }),
      far: on('elsewhere', { run: 'echo far > /far' }),
      app: on('base', settings),
    });
    const { exitCode, stderr } = await rig.stk(['build', 'app']);
    expect([exitCode, stderr]).toEqual([status, expect.stringContaining(texts[0]!)]);
  });

  it('takes 60 images', async () => {
    await using rig = await StkRig.open();
    const names = Array.from({ length: 60 }, (_, index) => `n${index}`);
    const one = (name: string) => on('shell', { imports: [{ content: name, dest: `/n/${name}` }] });
    await rig.write('stacker.yaml', {
      shell: SHELL,
      ...Object.fromEntries(names.map(name => [name, one(name)])),
      app: on('shell', { apply: names }),
    });
    await rig.ok(['build', 'app']);
    const { layers } = await inspectImage(rig, 'app');
    expect(layers.filter(layer => layer.role === 'apply')).toHaveLength(60);
    expect(await rig.ok(['ls', 'app:/n'])).toHaveLength(names.join('\n').length + 1);
  });
});
