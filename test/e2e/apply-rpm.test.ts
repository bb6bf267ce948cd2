import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { execa } from 'execa';
import { existsSync } from 'node:fs';
import { chown, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { requires } from '../rig/gates.ts';
import { RpmRoots } from '../rig/rpm-roots.ts';
import { inspectImage, type Settings } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'overlay', 'fuse', 'tool:rpmbuild', 'tool:umoci');

const CONFLICT = 12;

let roots: RpmRoots;
const files: Record<string, string> = {};

/** Real packages, installed by rpm into roots, of which the images are made. */
beforeAll(async () => {
  roots = await RpmRoots.open();
  files['base'] = await roots.build({ name: 'base', files: ['usr/share/base/a'] });
  files['ssl'] = await roots.build({
    name: 'ssl',
    version: '1.9',
    directories: ['usr/share/ssl', 'usr/share/nine'],
    files: ['usr/bin/ssl', 'usr/share/ssl/nine'],
  });
  files['ssl2'] = await roots.build({ name: 'ssl', version: '1.10', files: ['usr/bin/ssl', 'usr/share/ssl/ten'] });
  files['py'] = await roots.build({ name: 'py', epoch: 2, files: ['usr/bin/py'], preamble: ['Requires: base'] });
  files['extra'] = await roots.build({ name: 'extra', files: ['usr/bin/extra'] });
  await roots.root('base');
  await roots.install('base', files['base']);
  for (const [name, wanted] of [
    ['ssl', ['ssl']],
    ['ssl2', ['ssl2']],
    ['py', ['py']],
    ['both', ['ssl', 'py']],
    ['pyssl', ['ssl2', 'py']],
  ] as const) {
    await roots.root(name, 'base');
    for (const key of wanted) await roots.install(name, files[key]!);
  }
});
afterAll(() => roots?.[Symbol.asyncDispose]());

const rootOf = (name: string) => path.join(roots.directory, name);
const image = (root: string): Settings => ({
  from: root === 'base' ? 'scratch' : { type: 'built', tag: 'base' },
  overlay_dirs: [{ source: rootOf(root), dest: '/' }],
});

async function unpack(rig: StkRig, image: string, root: string): Promise<void> {
  const bundle = rig.path(`bundle-${root}`);
  await execa('umoci', ['unpack', '--image', rig.path(image), bundle]);
  await execa('cp', ['-a', path.join(bundle, 'rootfs'), rootOf(root)]);
}

const TYPES = ['--layer-type', 'squashfs', '--layer-type', 'tar'];

describe('applied images with rpm packages', () => {
  it('have one database that rpm works with as if all had been installed in turn', async () => {
    await using rig = await StkRig.open({ as: 'root' });
    const app: Settings = { from: { type: 'built', tag: 'base' }, apply: ['ssl', 'py'] };
    await rig.write('stacker.yaml', { base: image('base'), ssl: image('ssl'), py: image('py'), app });
    await rig.ok(['build', 'app', ...TYPES]);
    expect((await inspectImage(rig, 'app')).layers.map(({ role }) => role)).toEqual([
      'base',
      'apply',
      'apply',
      'merge',
    ]);
    await unpack(rig, 'oci:app-tar', 'app');
    expect(await roots.listing('app')).toBe(await roots.listing('both'));
    expect(await roots.rpm('app', '-Va', '--nodeps')).toBe('');
    await roots.install('app', files['extra']!);
    await roots.rpm('app', '-e', 'py');
    await roots.install('app', files['ssl2']!);
    expect((await roots.rpm('app', '-qa')).trim().split('\n').toSorted()).toEqual([
      'base-1-1.noarch',
      'extra-1-1.noarch',
      'ssl-1.10-1.noarch',
    ]);
    expect(await roots.rpm('app', '-Va', '--nodeps')).toBe('');
  });

  it('clash in two versions of a package, of which the newer is taken whole where the recipe says so', async () => {
    await using rig = await StkRig.open({ as: 'root' });
    const images = { base: image('base'), pyssl: image('pyssl'), ssl: image('ssl') };
    const app = (rules?: object): Settings => ({
      from: { type: 'built', tag: 'base' },
      apply: ['pyssl', rules ? { image: 'ssl', conflicts: rules } : 'ssl'],
    });
    await rig.write('stacker.yaml', { ...images, app: app() });
    const { exitCode, stderr } = await rig.stk(['build', 'app']);
    expect(exitCode).toBe(CONFLICT);
    expect(stderr).toContain('the package ssl.noarch is 1.10-1 in pyssl and 1.9-1 in ssl');
    expect(stderr).toContain('newer');
    await rig.write('stacker.yaml', { ...images, app: app({ '/var/lib/rpm/**': 'newer' }) });
    await rig.ok(['build', 'app', ...TYPES]);
    await unpack(rig, 'oci:app-tar', 'newer');
    expect(await roots.rpm('newer', '-q', 'ssl')).toBe('ssl-1.10-1.noarch\n');
    expect(await roots.rpm('newer', '-Va', '--nodeps')).toBe('');
    const { stdout } = await execa('find', [path.join(rootOf('newer'), 'usr/share/ssl'), '-type', 'f']);
    expect(stdout.split('\n').map(file => path.basename(file))).toEqual(['ten']);
  });

  it('keep one database when an applied image is swapped', async () => {
    await using rig = await StkRig.open({ as: 'root' });
    const app: Settings = { from: { type: 'built', tag: 'base' }, apply: ['ssl', 'py'] };
    await rig.write('stacker.yaml', { base: image('base'), ssl: image('ssl'), py: image('py'), app });
    await rig.ok(['build', 'app']);
    await rig.write('stacker.yaml', { base: image('base'), ssl: image('ssl2') });
    await rig.ok(['build', 'ssl']);
    await rig.ok(['update', 'app', '--apply', 'ssl']);
    await rig.ok(['convert', 'oci:oci:app', 'oci:flat:app', '--layer-type', 'tar']);
    await unpack(rig, 'flat:app', 'updated');
    expect((await roots.rpm('updated', '-qa')).trim().split('\n').toSorted()).toEqual([
      'base-1-1.noarch',
      'py-1-1.noarch',
      'ssl-1.10-1.noarch',
    ]);
    expect(await roots.rpm('updated', '-Va', '--nodeps')).toBe('');
  });

  it.each([
    ['were made with one id', { stable_ids: false }],
    ['got ids by their names', {}],
  ])('belong to accounts of packages as rpm expects, where these %s', async (_what, settings) => {
    await using rig = await StkRig.open({ as: 'root' });
    const recipe: Record<string, Settings> = {
      base: { from: 'scratch', ...SHELL, overlay_dirs: [{ source: await accountRoot('base', []), dest: '/' }] },
      app: { from: { type: 'built', tag: 'base' }, apply: ['zebra', 'redis'] },
    };
    for (const name of ['zebra', 'redis']) {
      const tar = rig.path(`${name}.tar`);
      await execa('tar', ['-C', await accountRoot(name, [name]), '-cf', tar, '.']);
      const run = `#!/bin/busybox sh\n/bin/busybox tar xpf /stacker/imports/${name}.tar -C /`;
      recipe[name] = { from: { type: 'built', tag: 'base' }, imports: tar, run, ...settings };
    }
    await rig.write('stacker.yaml', recipe);
    await rig.ok(['build', 'app', ...TYPES]);
    const root = `owners-${Object.keys(settings).length}`;
    await unpack(rig, 'oci:app-tar', root);
    expect(await roots.rpm(root, '-Va', '--nodeps')).toBe('');
    const { stdout } = await execa('stat', ['-c', '%u', 'srv/zebra', 'srv/redis'], { cwd: rootOf(root) });
    expect(new Set(stdout.split('\n')).size).toBe(2);
    // It looks at owners at all.
    await chown(path.join(rootOf(root), 'srv/redis'), 0, 0);
    await expect(roots.rpm(root, '-Va', '--nodeps')).rejects.toThrow(/UG.* \/srv\/redis/);
  });
});

const SHELL: Settings = {
  imports: [{ path: '/bin/busybox', dest: '/bin/busybox', mode: '0755' }],
};

/** A root with the base's package and packages with an account each, all with one id. */
async function accountRoot(name: string, packages: readonly string[]): Promise<string> {
  const root = `accounts-${name}`;
  if (existsSync(rootOf(root))) return rootOf(root);
  await roots.root(root);
  await mkdir(path.join(rootOf(root), 'etc'));
  const accounts = ['root:0', ...packages.map(each => `${each}:999`)].map(each => each.split(':'));
  const passwd = accounts.map(([user, id]) => `${user}:x:${id}:${id}::/:/bin/false\n`);
  await writeFile(path.join(rootOf(root), 'etc/passwd'), passwd.join(''));
  await writeFile(path.join(rootOf(root), 'etc/group'), accounts.map(([group, id]) => `${group}:x:${id}:\n`).join(''));
  await roots.install(root, files['base']!);
  for (const each of packages) {
    await roots.install(root, await roots.build({ name: each, files: [`srv/${each}`], owner: each }));
  }
  return rootOf(root);
}
