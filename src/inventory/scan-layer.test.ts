import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { elfFile, goBuildInfo } from '../../test/fixtures/elf-file.ts';
import { openImage, packDirectory, scratch } from '../../test/fixtures/squashfs-images.ts';
import { LayerStack } from '../squashfs/layer-stack.ts';
import { digestOf } from '../core/digest.ts';
import { composeInventory } from './inventory.ts';
import { scanLayer } from './scan-layer.ts';
import { unownedPaths } from './unowned-paths.ts';

type Files = Readonly<Record<string, string | Buffer>>;

/** Names of packages that a layer of these files has, and what of it belongs to none. */
async function scanned(files: Files, links: Readonly<Record<string, string>> = {}) {
  await using place = await scratch();
  const root = path.join(place.dir, 'root');
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true });
    await writeFile(path.join(root, name), content, { mode: name.includes('bin/') ? 0o755 : 0o644 });
  }
  for (const [name, target] of Object.entries(links)) await symlink(target, path.join(root, name));
  const image = path.join(place.dir, 'image');
  await packDirectory(root, image, '-comp', 'gzip');
  await using layer = await openImage(image);
  const part = await scanLayer(layer);
  const inventory = composeInventory([{ layer: digestOf(''), part }]);
  const unowned = await unownedPaths(new LayerStack([layer]), inventory);
  return { inventory, names: inventory.packages.map(({ type, name }) => `${type} ${name}`), unowned };
}

const go = Buffer.concat([
  elfFile({ '.go.buildinfo': goBuildInfo('go1.22.1', 'mod\tx.org/y\tv1\n') }),
  Buffer.alloc(70_000),
]);
const package_ = (name: string) => JSON.stringify({ name, version: '1' });
const status = 'Package: tool\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n';
const wheel = 'usr/lib/python3/dist-packages/six-1.dist-info';

describe('a layer', () => {
  it('tells packages of languages wherever they lie', async () => {
    const { names } = await scanned({
      [`${wheel}/METADATA`]: 'Name: six\nVersion: 1\n',
      'app/node_modules/@a/b/package.json': package_('@a/b'),
      'app/package.json': package_('app'),
      'app/node_modules/c/lib/package.json': package_('inner'),
      'usr/local/bin/program': go,
      'usr/local/lib/program.so': go,
    });
    expect(names).toEqual(['golang stdlib', 'golang x.org/y', 'npm @a/b', 'pypi six']);
  });

  it('leaves what a package of the distribution brought to that package', async () => {
    const list = `/.\n/usr/local/bin/program\n/${wheel}/METADATA\n/lib/node_modules/c/package.json\n`;
    const { names, unowned } = await scanned(
      {
        'var/lib/dpkg/status': status,
        'var/lib/dpkg/info/tool.list': list,
        [`${wheel}/METADATA`]: 'Name: six\nVersion: 1\n',
        'usr/lib/node_modules/c/package.json': package_('c'),
        'usr/lib/node_modules/d/package.json': package_('d'),
        'usr/lib/node_modules/d/index.js': '',
        'usr/local/bin/program': go,
        'etc/note': '',
      },
      { lib: 'usr/lib' },
    );
    expect(names).toEqual(['deb tool', 'npm d']);
    expect(unowned).toEqual(['etc/note', 'lib', 'var/lib/dpkg/info/tool.list', 'var/lib/dpkg/status']);
  });

  it('has files of Python and Java that belong to their packages', async () => {
    await using place = await scratch();
    const jar = path.join(place.dir, 'x-1.0.jar');
    await writeFile(path.join(place.dir, 'm'), '');
    execFileSync('python3', ['-m', 'zipfile', '-c', jar, 'm'], { cwd: place.dir });
    const { names, unowned } = await scanned({
      'opt/x-1.0.jar': execFileSync('cat', [jar]),
      'opt/y-1.0.jar': 'no archive',
      [`${wheel}/METADATA`]: 'Name: six\nVersion: 1\n',
      [`${wheel}/RECORD`]: 'six.py,sha256=x,1\n../../../bin/six,,\n"a""b.py",,\n',
      'usr/lib/python3/dist-packages/six.py': '',
      'usr/lib/python3/dist-packages/a"b.py': '',
      'usr/lib/python3/dist-packages/other.py': '',
      'usr/bin/six': '',
    });
    expect(names).toEqual(['maven x', 'pypi six']);
    expect(unowned).toEqual(['opt/y-1.0.jar', 'usr/lib/python3/dist-packages/other.py']);
  });

  it('with damaged files tells which, and what the others say', async () => {
    const { names, inventory } = await scanned({
      'var/lib/dpkg/status': `${status}Package: half`,
      'lib/apk/db/installed': 'P:a\n',
      'var/lib/rpm/rpmdb.sqlite': 'no database',
      'var/lib/rpm/Packages': 'of Berkeley',
      'a/node_modules/b/package.json': '{',
      'opt/x.jar': 'PK',
      'usr/bin/program': Buffer.concat([Buffer.from('\x7fELF\x02', 'latin1'), Buffer.alloc(70_000, 0xff)]),
    });
    expect(names).toEqual(['deb tool']);
    expect(inventory.problems.map(problem => problem.path)).toEqual([
      'a/node_modules/b/package.json',
      'lib/apk/db/installed',
      'opt/x.jar',
      'var/lib/dpkg/status',
      'var/lib/rpm/Packages',
      'var/lib/rpm/rpmdb.sqlite',
    ]);
  });

  it('of a distroless image has its records in files of their own', async () => {
    const { names, unowned } = await scanned({
      'var/lib/dpkg/status.d/base': 'Package: base-files\nVersion: 12\nArchitecture: amd64\n',
      'var/lib/dpkg/status.d/base.md5sums': `${'0'.repeat(32)}  etc/debian_version\n`,
      'etc/debian_version': '12\n',
    });
    expect(names).toEqual(['deb base-files']);
    expect(unowned).toEqual(['var/lib/dpkg/status.d/base', 'var/lib/dpkg/status.d/base.md5sums']);
  });
});
