import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { absPath } from '../core/paths.ts';
import { parseRecipe } from '../recipe/parse.ts';
import { imageGraph } from './image-graph.ts';

let home: string;

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'stk-graph-'));
  await mkdir(path.join(home, 'out'));
  await mkdir(path.join(home, 'oci'));
  await symlink('out', path.join(home, 'link'));
  await symlink('oci', path.join(home, 'layout'));
});
afterAll(() => rm(home, { recursive: true }));

async function graphOf(images: object, names: readonly string[] = []) {
  const text = JSON.stringify(images);
  const directory = absPath('.', home);
  const file = path.join(home, 'stacker.yaml');
  const { recipe, diagnostics } = parseRecipe(text, { file, directory, workingDirectory: directory });
  expect(diagnostics.filter(({ severity }) => severity === 'error')).toEqual([]);
  const graph = await imageGraph([recipe!], { names, layout: absPath('oci', home), layerTypes: ['squashfs', 'tar'] });
  return Object.fromEntries(graph);
}

const writer = { from: 'scratch', binds: ['out -> /out'], run: 'make' };

describe('what waits for an image that binds a directory of the host', () => {
  it.each<[string, object]>([
    ['an overlay of it', { overlay_dirs: ['out'] }],
    ['an overlay of a directory that holds it', { overlay_dirs: [{ source: '.', dest: '/x' }] }],
    ['an overlay of a directory in it', { overlay_dirs: ['out/sub/dir'] }],
    ['an import of a file in it', { imports: ['out/program'] }],
    ['an import through a link', { imports: [{ path: 'link/program', dest: '/p' }] }],
    ['a deprecated import', { import: 'out' }],
    ['a base in it', { from: { type: 'tar', url: 'out/root.tar' } }],
    ['a layout in it', { from: 'oci:out/layout:tag' }],
    ['an applied layout in it', { apply: ['oci:out/layout:tag'] }],
    ['a bind of it', { binds: ['out -> /in'], run: 'true' }],
    ['a bind for labels', { binds: ['link/sub -> /in'], generate_labels: 'true' }],
    ['a bind whose content does not count', { binds: [{ source: 'out', cache: 'ignore' }], run: 'true' }],
  ])('%s', async (_, later) => {
    const image = { from: 'scratch', ...later };
    expect(await graphOf({ writer, later: image })).toEqual({ writer: [], later: ['writer'] });
    // Whoever comes first does not wait; whoever writes then waits until it was read.
    expect(await graphOf({ later: image, writer })).toEqual({ later: [], writer: ['later'] });
  });

  it.each<[string, object]>([
    ['a directory beside it', { overlay_dirs: ['outside'] }],
    ['a file of the network', { imports: ['http://127.0.0.1/out'] }],
    ['text', { imports: [{ content: 'out', dest: '/out' }] }],
    ['a bind that nothing uses', { binds: ['out'] }],
    ['a layout elsewhere', { from: 'oci:oci:other' }],
  ])('not %s', async (_, image) => {
    expect(await graphOf({ writer, other: { from: 'scratch', ...image } })).toEqual({ writer: [], other: [] });
  });

  it('not a second one where the content of neither counts', async () => {
    const image = { from: 'scratch', binds: [{ source: 'out', cache: 'ignore' }], run: 'true' };
    expect(await graphOf({ a: image, b: image })).toEqual({ a: [], b: [] });
  });

  it('not one that it waits for itself', async () => {
    const later = { from: 'scratch', overlay_dirs: ['out'] };
    expect(await graphOf({ writer: { ...writer, from: 'later' }, later })).toEqual({ writer: ['later'], later: [] });
    const middle = { from: 'later' };
    expect(await graphOf({ writer: { ...writer, from: 'middle' }, middle, later })).toEqual({
      writer: ['middle', 'later'],
      middle: ['later'],
      later: [],
    });
  });
});

describe('what waits for an image of the layout that is written', () => {
  it.each(['oci:oci:made', 'oci:layout:made-tar', 'oci:./oci/:made'])('%s', async from => {
    expect(await graphOf({ made: { from: 'scratch' }, app: { from } })).toEqual({ made: [], app: ['made'] });
    expect(await graphOf({ made: { from: 'scratch' }, app: { from: 'scratch', apply: [from] } })).toEqual({
      made: [],
      app: ['made'],
    });
  });

  it('not where it is made later, elsewhere or never', async () => {
    expect(await graphOf({ app: { from: 'oci:oci:made' }, made: { from: 'scratch' } })).toMatchObject({ app: [] });
    expect(await graphOf({ made: { from: 'scratch' }, app: { from: 'oci:other:made' } })).toMatchObject({ app: [] });
    const hidden = { from: 'scratch', build_only: true };
    expect(await graphOf({ made: hidden, app: { from: 'oci:oci:made' } })).toMatchObject({ app: [] });
  });
});

describe('wanted images', () => {
  const images = {
    writer,
    reader: { from: 'scratch', imports: ['out/program'] },
    binder: { from: 'scratch', binds: ['out'], run: 'true' },
    other: { from: 'scratch' },
  };

  it('bring what makes their files', async () => {
    expect(await graphOf(images, ['reader'])).toEqual({ writer: [], reader: ['writer'] });
  });

  it('do not bring what merely uses the same directory', async () => {
    expect(await graphOf(images, ['binder'])).toEqual({ binder: [] });
    expect(await graphOf(images, ['writer'])).toEqual({ writer: [] });
  });

  it('must exist', async () => {
    await expect(graphOf(images, ['nothing'])).rejects.toMatchObject({ code: 'usage' });
  });
});
