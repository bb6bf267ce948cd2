import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { expect, inject, it, vi } from 'vitest';
import { requires } from '../rig/gates.ts';
import { inspectImage } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { differences, listImage } from '../rig/tree-listing.ts';

requires('root', 'overlay', 'kernel-squashfs', 'debian-base', 'tool:dpkg-deb');
// Each builds a Debian image twice.
vi.setConfig({ testTimeout: 300_000 });

/** Content by path below the root; `conffiles` are those below /etc. */
type PackageFiles = Readonly<Record<string, string>>;

interface Version {
  readonly version: string;
  readonly files: PackageFiles;
  /** Shell of its postinst. */
  readonly postinst?: string;
}

const LIB = (version: string): PackageFiles => ({
  'usr/lib/foo/libfoo': `library ${version}\n`,
  'usr/share/foo/data': 'the same in every version\n',
  'etc/foo/foo.conf': 'mode = fast\n\nsize = 1\n\ncolour = red\n',
});

const ONE: Version = { version: '1.0-1', files: LIB('1.0') };

/** What the applied image becomes, beside `ONE`. */
const NEXT: Readonly<Record<string, Version>> = {
  'a higher version': { version: '1.0-1+deb12u1', files: LIB('1.0 fixed') },
  'a lower version': { version: '0.9-3', files: LIB('0.9') },
  'files that come and go': {
    version: '1.1-1',
    files: {
      'usr/lib/foo/libfoo': 'library 1.1\n',
      'usr/lib/foo/plugins/one': '1\n',
      'etc/foo/foo.conf': 'mode = slow\nmore = yes\n\nsize = 1\n\ncolour = blue\n',
    },
  },
  'a new account': {
    version: '1.2-1',
    files: LIB('1.2'),
    postinst: 'useradd --system --no-create-home --uid 777 foo; echo 1.2 > /var/lib/foo-state',
  },
};

async function writePackage(rig: StkRig, name: string, { version, files, postinst }: Version): Promise<void> {
  const root = rig.path('packages', `${name}_${version}`);
  const control = [
    `Package: ${name}`,
    `Version: ${version}`,
    'Architecture: all',
    'Maintainer: Nobody <nobody@example.org>',
    `Description: ${name} for tests`,
  ];
  await mkdir(path.join(root, 'DEBIAN'), { recursive: true });
  await writeFile(path.join(root, 'DEBIAN/control'), `${control.join('\n')}\n`);
  const conffiles = Object.keys(files).filter(file => file.startsWith('etc/'));
  if (conffiles.length > 0)
    await writeFile(path.join(root, 'DEBIAN/conffiles'), conffiles.map(file => `/${file}\n`).join(''));
  if (postinst !== undefined) {
    await writeFile(path.join(root, 'DEBIAN/postinst'), `#!/bin/sh -e\n${postinst}\n`, { mode: 0o755 });
  }
  for (const [file, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), content);
  }
  await execa('dpkg-deb', ['--root-owner-group', '--build', root, rig.path(`${name}.deb`)]);
}

/** What the application's own step does besides installing its package. */
const OWN_STEP =
  'echo "size = 2" | sed -i "s/size = 1/size = 2/" /etc/foo/foo.conf; useradd --uid 1234 app; touch /srv/app';

async function writeRecipe(rig: StkRig, run = OWN_STEP): Promise<void> {
  const install = (name: string) => ({ imports: [`${name}.deb`], run: `dpkg -i /stacker/imports/${name}.deb` });
  const debian = { type: 'built', tag: 'debian' };
  await rig.write('stacker.yaml', {
    debian: { from: { type: 'tar', url: inject('stk').debianBase } },
    ssl: { from: debian, ...install('libfoo') },
    tool: { from: debian, ...install('tool') },
    app: {
      from: debian,
      apply: ['ssl', 'tool'],
      imports: ['own.deb'],
      run: `dpkg -i /stacker/imports/own.deb\n${run}`,
    },
  });
}

async function writeFirst(rig: StkRig, run?: string): Promise<void> {
  await writePackage(rig, 'libfoo', ONE);
  await writePackage(rig, 'tool', { version: '3', files: { 'usr/bin/tool': '#!/bin/sh\n' } });
  await writePackage(rig, 'own', { version: '4', files: { 'usr/share/own/data': 'own\n' } });
  await writeRecipe(rig, run);
  await rig.ok(['build']);
}

/** Builds everything again, and gives the old layout's copy nothing but the new applied image. */
async function rebuildBeside(rig: StkRig, next: Version): Promise<void> {
  await cp(rig.path('oci'), rig.path('updated'), { recursive: true });
  await writePackage(rig, 'libfoo', next);
  await rig.ok(['build']);
  await rig.ok(['publish', 'ssl', 'oci:updated:ssl']);
}

/** Logs, caches, what dpkg keeps of the state before its last run, and what `touch` made in another second. */
const EXCEPT =
  /^(var\/log\/|var\/cache\/|var\/lib\/dpkg\/[a-z]+-old$|etc\/(passwd|group|shadow|gshadow|subuid|subgid)-$)/;

async function expectRebuilt(rig: StkRig): Promise<void> {
  const [rebuilt, updated] = [await listImage(rig.path('oci'), 'app'), await listImage(rig.path('updated'), 'app')];
  expect(differences(rebuilt, updated, EXCEPT)).toEqual([]);
  const text = await rig.ok(['diff', 'oci:oci:app', 'oci:updated:app', '--json']);
  const { changes } = JSON.parse(text) as { changes: { path: string }[] };
  expect(changes.map(({ path: changed }) => changed.slice(1)).filter(changed => !EXCEPT.test(changed))).toEqual([]);
}

async function runLayers(rig: StkRig, layout: string): Promise<string[]> {
  const { layers } = await inspectImage(rig, `oci:${layout}:app`);
  return layers.filter(layer => layer.role === 'run').map(layer => layer.digest);
}

/** What dpkg itself says of a package in the tree. */
async function packageVersion(rig: StkRig, image: string, name: string): Promise<string> {
  await rig.ok(['mount', image, 'root']);
  try {
    const { stdout } = await execa('chroot', [
      rig.path('root'),
      'dpkg-query',
      '-W',
      '-f',
      '${Version} ${Status}',
      name,
    ]);
    const { stdout: audit } = await execa('chroot', [rig.path('root'), 'dpkg', '--audit']);
    expect(audit).toBe('');
    return stdout;
  } finally {
    await rig.ok(['umount', 'root']);
  }
}

it.each(Object.keys(NEXT))('equals a build from scratch: %s', async name => {
  await using rig = await StkRig.open();
  await writeFirst(rig);
  const next = NEXT[name]!;
  await rebuildBeside(rig, next);
  const before = await runLayers(rig, 'updated');
  await rig.ok(['--oci-dir', 'updated', 'update', 'app', '--apply', 'ssl']);
  expect(await runLayers(rig, 'updated')).toEqual(before);
  expect(await packageVersion(rig, 'oci:updated:app', 'libfoo')).toBe(`${next.version} install ok installed`);
  await expectRebuilt(rig);
});

it('is the same after several updates as after one, and back again', async () => {
  await using rig = await StkRig.open();
  await writeFirst(rig);
  await cp(rig.path('oci'), rig.path('first'), { recursive: true });
  for (const name of ['a new account', 'files that come and go']) {
    await rebuildBeside(rig, NEXT[name]!);
    await rig.ok(['--oci-dir', 'first', 'update', 'app', '--apply', 'ssl=oci:updated:ssl']);
    const { layers } = await inspectImage(rig, 'oci:first:app');
    expect(layers.filter(layer => layer.role === 'update').length).toBeLessThanOrEqual(1);
    await rig.ok(['publish', 'oci:first:app', 'oci:updated:app']);
    await expectRebuilt(rig);
  }
  await rebuildBeside(rig, ONE);
  await rig.ok(['--oci-dir', 'first', 'update', 'app', '--apply', 'ssl=oci:updated:ssl']);
  await rig.ok(['publish', 'oci:first:app', 'oci:updated:app']);
  await expectRebuilt(rig);
});

it('reports what the application changed, too, and settles it by a rule', async () => {
  await using rig = await StkRig.open();
  await writeFirst(rig, 'echo "own library" > /usr/lib/foo/libfoo; head -c 100 /dev/zero > /usr/share/foo/data');
  await rebuildBeside(rig, {
    version: '2',
    files: { ...LIB('2'), 'usr/share/foo/data': 'changed\n' },
  });
  const update = ['--oci-dir', 'updated', 'update', 'app', '--apply', 'ssl'];
  const before = await rig.ok(['--oci-dir', 'updated', 'inspect', '--json']);
  const refused = await rig.stk(update);
  expect(refused.exitCode).toBe(12);
  expect(refused.stderr).toContain('/usr/share/foo/data');
  expect(refused.stderr).toContain('/usr/lib/foo/libfoo');
  expect(await rig.ok(['--oci-dir', 'updated', 'inspect', '--json'])).toBe(before);
  await rig.ok([...update, '--conflict', '/usr/lib/**=last', '--conflict', '/usr/share/**=first']);
  await rig.ok(['--oci-dir', 'updated', 'mount', 'app', 'root']);
  const read = (file: string) => readFile(rig.path('root', file), 'utf8');
  expect([await read('usr/lib/foo/libfoo'), await read('usr/share/foo/data')]).toEqual(['own library\n', 'changed\n']);
  await rig.ok(['umount', 'root']);
});
