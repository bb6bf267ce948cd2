import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Layers, merge, sides, type LayerContent } from '../../../test/fixtures/merge-layers.ts';
import { requires } from '../../../test/rig/gates.ts';
import { DRIVERS } from '../drivers.ts';

requires('root');

const layers = new Layers();
let scratch: string;
beforeAll(async () => void (scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-triggers-'))));
afterAll(() => rm(scratch, { recursive: true, force: true }));

interface Deb {
  readonly name: string;
  readonly version?: string;
  readonly triggers?: string;
  readonly files?: readonly string[];
  readonly fields?: string;
}

async function built({ name, version = '1', triggers, files = [], fields = '' }: Deb): Promise<string> {
  const root = await mkdtemp(path.join(scratch, `${name}-`));
  await mkdir(path.join(root, 'DEBIAN'));
  const control = `Package: ${name}\nVersion: ${version}\nArchitecture: amd64\nMaintainer: n <n@example.org>\n${fields}Description: ${name}\nHomepage: http://example.org\n`;
  await writeFile(path.join(root, 'DEBIAN/control'), control);
  if (triggers !== undefined) await writeFile(path.join(root, 'DEBIAN/triggers'), `${triggers}\n`);
  for (const file of files) {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), name);
  }
  await execa('dpkg-deb', ['--root-owner-group', '-b', root, `${root}.deb`]);
  return `${root}.deb`;
}

async function emptyRoot(): Promise<string> {
  const root = await mkdtemp(path.join(scratch, 'root-'));
  for (const name of ['info', 'updates', 'triggers'])
    await mkdir(path.join(root, 'var/lib/dpkg', name), { recursive: true });
  for (const name of ['status', 'available']) await writeFile(path.join(root, 'var/lib/dpkg', name), '');
  return root;
}

async function install(root: string, flags: readonly string[], debs: readonly string[]): Promise<void> {
  await execa('dpkg', [`--root=${root}`, '--force-architecture', '--force-bad-path', ...flags, '--install', ...debs]);
}

/** All files of a root but dpkg's locks and backups. */
async function contentOf(root: string): Promise<LayerContent> {
  const content: Record<string, string> = {};
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    const name = path.relative(root, file);
    if (entry.isFile() && !/lock|Lock|-old$|var\/log/.test(name))
      content[name] = (await readFile(file)).toString('latin1');
  }
  return content;
}

/** What dpkg makes of packages that are installed in turn with the triggers of the last put off, and what the merge makes. */
async function both(base: readonly Deb[], one: readonly Deb[], two: readonly Deb[]) {
  const debs = await Promise.all([base, one, two].map(each => Promise.all(each.map(built))));
  const roots: LayerContent[] = [];
  for (const own of [[], debs[1]!, debs[2]!]) {
    const root = await emptyRoot();
    for (const part of [debs[0]!, own]) if (part.length > 0) await install(root, [], part);
    roots.push(await contentOf(root));
  }
  const inTurn = await emptyRoot();
  for (const part of [debs[0]!, debs[1]!]) if (part.length > 0) await install(inTurn, [], part);
  await install(inTurn, ['--no-triggers'], debs[2]!);
  const changed = (content: LayerContent) =>
    Object.fromEntries(Object.entries(content).filter(([name, text]) => roots[0]![name] !== text));
  const own = sides([changed(roots[1]!)], [changed(roots[2]!)]);
  const { tree, conflicts, result } = await merge(await layers.applied([roots[0]!], own), DRIVERS);
  expect(conflicts).toEqual([]);
  const shown = tree['var/lib/dpkg/status'] ?? '';
  const status = JSON.parse(shown.slice(shown.indexOf('"'))) as string;
  const installed = (await contentOf(inTurn))['var/lib/dpkg/status'];
  return { status, installed, remarks: result.remarks.map(({ text }) => text), regenerate: result.regenerate };
}

const NOAWAIT = 'interest-noawait /usr/share/words';
const words = (name: string): Deb => ({ name, files: [`usr/share/words/${name}`] });

describe('triggers of packages that came with different images', () => {
  it.each<[string, readonly Deb[], readonly Deb[], readonly Deb[], string | undefined]>([
    ['a file', [], [{ name: 'trig', triggers: NOAWAIT }], [words('user')], 'trig (/usr/share/words)'],
    [
      'files of several',
      [],
      [{ name: 'trig', triggers: NOAWAIT }],
      [words('u'), words('v')],
      'trig (/usr/share/words)',
    ],
    [
      'a file that its package waits for',
      [],
      [{ name: 'trig', triggers: 'interest /usr/share/words\ninterest /usr/share/more' }],
      [{ name: 'user', files: ['usr/share/words/a', 'usr/share/more/b'] }],
      'trig (/usr/share/',
    ],
    [
      'a trigger by name',
      [],
      [{ name: 'trig', triggers: 'interest named' }],
      [{ name: 'u', triggers: 'activate named' }],
      'trig (named)',
    ],
    [
      'a trigger by name without waiting',
      [],
      [{ name: 'trig', triggers: 'interest named' }],
      [{ name: 'u', triggers: 'activate-noawait named' }],
      'trig (named)',
    ],
    [
      'a package of all architectures side by side',
      [],
      [{ name: 'trig', triggers: 'interest /usr/share/words', fields: 'Multi-Arch: same\n' }],
      [words('user')],
      'trig (/usr/share/words)',
    ],
    [
      'files elsewhere',
      [],
      [{ name: 'trig', triggers: NOAWAIT }],
      [{ name: 'u', files: ['usr/share/wordsmith'] }],
      undefined,
    ],
    [
      'a file in the image of the package',
      [{ name: 'x' }],
      [{ name: 'trig', triggers: NOAWAIT }, words('u')],
      [{ name: 'v' }],
      undefined,
    ],
  ])('are pending as dpkg marks them: %s', async (_, base, one, two, remark) => {
    const { status, installed, remarks } = await both(base, one, two);
    expect(status).toBe(installed);
    if (remark === undefined) expect(remarks).toEqual([]);
    else expect(remarks).toEqual([expect.stringContaining(remark)]);
  });

  it('are pending also where the package is in the base, and each image has files for it', async () => {
    const { status, remarks } = await both([{ name: 'trig', triggers: NOAWAIT }], [words('u')], [words('v')]);
    expect(status).toContain('Package: trig\nStatus: install ok triggers-pending');
    expect(status).toContain('\nTriggers-Pending: /usr/share/words\n');
    expect(remarks).toHaveLength(1);
    const alone = await both([{ name: 'trig', triggers: NOAWAIT }], [words('u')], [{ name: 'x' }]);
    expect(alone.status).not.toContain('Triggers-Pending');
    expect(alone.remarks).toEqual([]);
  });

  it('are answered by the merge where a program of the image makes what it knows', async () => {
    const schemas = 'usr/share/glib-2.0/schemas';
    const compiler = { files: [`usr/bin/glib-compile-schemas`, `${schemas}/gschemas.compiled`] };
    const trig = { name: 'glib', triggers: `interest-noawait /${schemas}`, ...compiler };
    const { status, remarks, regenerate } = await both([], [trig], [{ name: 'app', files: [`${schemas}/app.xml`] }]);
    expect(status).not.toContain('Triggers-Pending');
    expect(remarks).toEqual([]);
    expect(regenerate).toEqual([
      { command: ['/usr/bin/glib-compile-schemas', `/${schemas}`], paths: [`${schemas}/gschemas.compiled`] },
    ]);
    const bare = { ...trig, files: [`${schemas}/gschemas.compiled`] };
    const without = await both([], [bare], [{ name: 'app', files: [`${schemas}/app.xml`] }]);
    expect(without.status).toContain(`Triggers-Pending: /${schemas}`);
  });
});
