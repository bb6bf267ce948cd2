import { cp, mkdir, mkdtemp, readFile, readdir, realpath, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { requires } from '../../../test/rig/gates.ts';
import { Layers, merge, type LayerContent } from '../../../test/fixtures/merge-layers.ts';
import { dpkg } from '../dpkg/dpkg.ts';
import { generated } from './generated.ts';

requires('root');

const layers = new Layers();
let scratch: string;
let libraries: string;

beforeAll(async () => {
  scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-newer-'));
  const { stdout } = await execa('/sbin/ldconfig', ['-p']);
  libraries = path.dirname(/ => (\S+\/libc\.so\.6)$/m.exec(stdout)![1]!);
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** What ldconfig makes of a root with these libraries, which are real ones. */
async function rootWith(...names: readonly string[]): Promise<LayerContent> {
  const root = await mkdtemp(path.join(scratch, 'root-'));
  for (const directory of ['etc', 'lib']) await mkdir(path.join(root, directory));
  const available = await readdir(libraries);
  for (const name of names) {
    const file = await realpath(
      path.join(
        libraries,
        available.find(each => each.startsWith(`${name}.so`))!,
      ),
    );
    await cp(file, path.join(root, 'lib', path.basename(file)));
  }
  await execa('/sbin/ldconfig', ['-r', root, '-X']);
  await execa('/sbin/ldconfig', ['-r', root]);
  const content: Record<string, LayerContent[string]> = {
    'etc/ld.so.cache': (await readFile(path.join(root, 'etc/ld.so.cache'))).toString('latin1'),
  };
  for (const entry of await readdir(path.join(root, 'lib'), { withFileTypes: true })) {
    const file = path.join(root, 'lib', entry.name);
    // The link of a library's own name is ldconfig's, not the package's.
    if (entry.isSymbolicLink()) content[`lib/${entry.name}`] = { link: path.basename(await realpath(file)) };
    else content[`lib/${entry.name}`] = (await readFile(file)).toString('latin1');
  }
  return content;
}

function packaged(version: string, content: LayerContent): LayerContent {
  const files = Object.keys(content).filter(name => name.startsWith('lib/') && typeof content[name] === 'string');
  const stanza = (name: string, number: string) =>
    `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${number}\n\n`;
  return {
    ...content,
    'var/lib/dpkg/status': stanza('acme', version) + stanza('base', '1'),
    'var/lib/dpkg/info/acme.list': files.map(name => `/${name}\n`).join(''),
  };
}

it.each([
  ['first', [2, 3]],
  ['last', [3, 2]],
])('lists no library of the older version of a package, applied %s, and has no link to one', async (_, order) => {
  const [base, old, fresh] = [
    await rootWith('libc'),
    await rootWith('libc', 'libz'),
    await rootWith('libc', 'liblzma'),
  ];
  const versions = new Map([
    [2, packaged('2.0', old)],
    [3, packaged('3.0', fresh)],
  ]);
  const status = 'Package: base\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n';
  const problem = await layers.applied(
    [{ ...base, 'var/lib/dpkg/status': status }],
    order.map(version => ({
      name: `acme${version}`,
      layers: [versions.get(version)!],
      rules: { '/var/lib/dpkg/info/acme.list': 'newer' as const },
    })),
  );
  const { tree, conflicts, settled } = await merge(problem, [dpkg, generated]);
  expect(conflicts).toEqual([]);
  const cache = JSON.parse(tree['etc/ld.so.cache']!.slice(tree['etc/ld.so.cache']!.indexOf('"'))) as string;
  expect(cache).toBe(fresh['etc/ld.so.cache']);
  expect(
    Object.keys(tree)
      .filter(name => name.startsWith('lib/'))
      .toSorted(),
  ).toEqual(
    Object.keys(fresh)
      .filter(name => name.startsWith('lib/'))
      .toSorted(),
  );
  expect(settled.join()).toContain('etc/ld.so.cache: generated');
});
