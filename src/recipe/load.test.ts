import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RecipeError } from '../core/diagnostics.ts';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { findRecipes } from './find.ts';
import { loadRecipes, type LoadOptions } from './load.ts';

let directory: AbsPath;
beforeEach(async () => {
  directory = (await mkdtemp(path.join(tmpdir(), 'stk-recipe-'))) as AbsPath;
});
afterEach(() => rm(directory, { recursive: true }));

async function write(files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(directory, name)), { recursive: true });
    await writeFile(path.join(directory, name), text);
  }
}

function load(file: string | string[], options: Partial<LoadOptions> = {}) {
  const readText = async (url: string) => {
    throw new StkError('network', `unreachable: ${url}`);
  };
  return loadRecipes([file].flat(), { workingDirectory: directory, readText, ...options });
}

/** `file:line rule message`, the directory taken out, of what loading throws. */
async function complaints(loading: Promise<unknown>): Promise<string[]> {
  const error = await loading.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(error instanceof RecipeError)) throw error;
  for (const { span } of error.diagnostics) if (span) expect(error.sources.has(span.file)).toBe(true);
  return error.diagnostics.map(d => `${d.span?.file}:${d.span?.line} ${d.rule} ${d.message}`.replaceAll(directory, ''));
}

describe('loading', () => {
  it('puts prerequisites first, each file once, and resolves against each own directory', async () => {
    await write({
      'stacker.yaml': 'config: {prerequisites: [a/s.yaml, b/s.yaml]}\napp: {from: a}',
      'a/s.yaml': 'config: {prerequisites: [../b/s.yaml]}\na: {from: b, imports: [f]}',
      'b/s.yaml': 'b: {from: {type: tar, url: base.tar}, imports: [f]}',
    });
    const { recipes, warnings, sources } = await load(['stacker.yaml', 'b/s.yaml']);
    expect(recipes.map(r => path.relative(directory, r.file))).toEqual(['b/s.yaml', 'a/s.yaml', 'stacker.yaml']);
    expect(recipes.map(r => r.images[0]!.imports[0]?.source)).toEqual([
      { type: 'path', path: `${directory}/b/f` },
      { type: 'path', path: `${directory}/a/f` },
      undefined,
    ]);
    expect(recipes[0]!.images[0]!.from).toMatchObject({ source: { path: `${directory}/base.tar` } });
    expect(warnings).toEqual([]);
    expect([...sources.keys()]).toHaveLength(3);
  });

  it('reads a file once that is reached by two names', async () => {
    await write({ 'a.yaml': 'a: {from: scratch}' });
    await symlink('a.yaml', path.join(directory, 'b.yaml'));
    expect((await load(['a.yaml', 'b.yaml', './a.yaml'])).recipes).toHaveLength(1);
  });

  it('substitutes in every file', async () => {
    await write({
      'a.yaml': 'config: {prerequisites: [b.yaml]}\na: {from: ${{X}}}',
      'b.yaml': '${{X}}: {from: scratch}',
    });
    expect((await load('a.yaml', { substitutions: new Map([['X', 'base']]) })).recipes[0]!.images[0]!.name).toBe(
      'base',
    );
  });

  it('takes a dummy for what has no value, where told so', async () => {
    await write({ 'a.yaml': 'a: {from: "docker://h/r:${{TAG}}", labels: {l: "${{L:own}}", m: "${{M}}"}}' });
    const { recipes } = await load('a.yaml', { substitutions: new Map([['M', 'given']]), dummy: 'dummy' });
    const [image] = recipes[0]!.images;
    expect([image!.from, image!.config.labels]).toMatchObject([
      { url: 'docker://h/r:dummy' },
      { l: 'own', m: 'given' },
    ]);
  });

  it('fetches URLs through its port; their paths resolve against the working directory', async () => {
    const asked: string[] = [];
    const readText = async (url: string) => {
      asked.push(url);
      return url.endsWith('a.yaml')
        ? 'config: {prerequisites: ["http://h/b.yaml"]}\na: {from: b, imports: [f]}'
        : 'b: {from: scratch}';
    };
    const { recipes } = await load('http://h/a.yaml', { readText });
    expect(asked).toEqual(['http://h/a.yaml', 'http://h/b.yaml']);
    expect(recipes[1]!.images[0]!.imports[0]!.source).toEqual({ type: 'path', path: `${directory}/f` });
  });

  it('reports the problems of all files together', async () => {
    await write({
      'a.yaml': 'config: {prerequisites: [b.yaml, none.yaml, "http://h/x"]}\na: {form: x, from: b}',
      'b.yaml': 'b: {from: scratch, run: {}}\nc: {from: zzz}',
    });
    expect(await complaints(load('a.yaml'))).toEqual([
      '/a.yaml:2 unknown-directive stackerfile: unknown directive form',
      '/b.yaml:1 invalid-type run must be a string or a list, not a map',
      "/a.yaml:1 prerequisite couldn't find prerequisite /none.yaml: no such recipe: /none.yaml",
      "/a.yaml:1 prerequisite couldn't find prerequisite http://h/x: unreachable: http://h/x",
    ]);
  });

  it('checks images against each other although some cannot be read', async () => {
    await write({ 'a.yaml': 'a: {from: b}\nb: {}\nc: {from: zzz}\nd: {from: ${{X}}}' });
    expect(await complaints(load('a.yaml'))).toEqual([
      '/a.yaml:2 missing-base invalid layer: no base (from directive)',
      '/a.yaml:4 substitution-missing no value for substitution X',
      "/a.yaml:3 missing-image couldn't find dependencies for c: c -> zzz: no image is called zzz",
    ]);
  });

  it.each([
    ['nothing', ''],
    ['comments', '# app: {from: scratch}\n'],
    ['null', 'null'],
    ['an empty map', '{}'],
    ['an empty config', 'config: {}'],
    ['no prerequisites', 'config: {prerequisites: []}'],
  ])('refuses a recipe that holds %s, and warns of one beside others', async (_, text) => {
    await write({ 'empty.yaml': text, 'a.yaml': 'config: {prerequisites: [empty.yaml]}\na: {from: scratch}' });
    expect(await complaints(load('empty.yaml'))).toEqual(['/empty.yaml:1 empty-recipe the recipe has no images']);
    for (const files of [['a.yaml'], ['a.yaml', 'empty.yaml']]) {
      const { warnings, recipes } = await load(files);
      expect(warnings.map(({ rule, span }) => [rule, span?.file])).toEqual([
        ['empty-recipe', `${directory}/empty.yaml`],
      ]);
      expect(recipes.flatMap(({ images }) => images)).toHaveLength(1);
    }
  });

  it('takes a recipe that has nothing but prerequisites', async () => {
    await write({ 'a.yaml': 'config: {prerequisites: [b.yaml]}', 'b.yaml': 'b: {from: scratch}' });
    expect(await load('a.yaml')).toMatchObject({ warnings: [], recipes: [{}, {}] });
  });

  it('resolves the paths of a recipe from a pipe against the working directory', async () => {
    const readPipe = async (file: string) =>
      file === '/dev/fd/9' ? Buffer.from('config: {prerequisites: [b.yaml]}\na: {from: b, imports: f}') : undefined;
    await write({ 'b.yaml': 'b: {from: scratch}' });
    const { recipes } = await load('/dev/fd/9', { readPipe });
    expect(recipes[1]!.images[0]!.imports[0]!.source).toEqual({ type: 'path', path: `${directory}/f` });
    expect(recipes[1]!.file).toBe('/dev/fd/9');
  });

  it('reads no pipe that a recipe names', async () => {
    await write({ 'a.yaml': 'config: {prerequisites: [/dev/fd/9]}\na: {from: scratch}' });
    const readPipe = (file: string) =>
      file === '/dev/fd/9' ? Promise.reject(new Error('read')) : Promise.resolve(undefined);
    expect(await complaints(load('a.yaml', { readPipe }))).toHaveLength(1);
  });

  it('reports names that two files have', async () => {
    await write({ 'a.yaml': 'config: {prerequisites: [b.yaml]}\nx: {from: scratch}', 'b.yaml': 'x: {from: scratch}' });
    expect(await complaints(load('a.yaml'))).toEqual([
      '/a.yaml:2 duplicate-name duplicate layer name: /b.yaml and /a.yaml both have x',
    ]);
  });

  it('reports prerequisites that form a cycle', async () => {
    await write({ 'a.yaml': 'config: {prerequisites: [b.yaml]}', 'b.yaml': 'config: {prerequisites: [a.yaml]}' });
    expect(await complaints(load('a.yaml'))).toEqual([
      '/b.yaml:1 prerequisite-cycle prerequisites form a cycle: /a.yaml -> /b.yaml -> /a.yaml',
    ]);
  });

  it('stops at prerequisites without end', async () => {
    let next = 0;
    const readText = async () => `config: {prerequisites: ["http://h/${++next}"]}`;
    expect(await complaints(load('http://h/0', { readText }))).toEqual([
      'http://h/999:1 prerequisite there are too many prerequisites',
    ]);
  });

  it.each([
    ['nothing', 'none.yaml', 'not-found'],
    ['a directory', '.', 'invalid-input'],
    ['an endless device', '/dev/zero', 'invalid-input'],
    ['something that is not UTF-8', 'latin1.yaml', 'invalid-input'],
    ['something huge', 'huge.yaml', 'invalid-input'],
  ])('refuses %s', async (_, file, code) => {
    await write({
      'latin1.yaml': Buffer.from([0x61, 0xe9]),
      'huge.yaml': file === 'huge.yaml' ? Buffer.alloc(50_000_000, 'a') : '',
    });
    await expect(load(file)).rejects.toMatchObject({ code });
  });

  it('ends when its signal fires', async () => {
    await write({ 'a.yaml': 'a: {from: scratch}' });
    await expect(load('a.yaml', { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'interrupted' });
  });
});

describe('finding', () => {
  it('walks everything but stores, modules and links to directories', async () => {
    const names = [
      'stacker.yaml',
      'a/stacker.yaml',
      'a/other.yaml',
      '.git/stacker.yaml',
      'a/node_modules/x/stacker.yaml',
      '.stk/stacker.yaml',
      'skipped/stacker.yaml',
      'a/b.yaml/stacker.yaml',
    ];
    await write(Object.fromEntries(names.map(name => [name, ''])));
    await symlink('..', path.join(directory, 'a/loop'));
    await symlink('../stacker.yaml', path.join(directory, 'skipped/../a/b.yaml/linked.yaml'));
    const relative = async (options = {}) =>
      (await findRecipes(directory, options)).map(file => path.relative(directory, file));
    const skip = [path.join(directory, 'skipped')];
    expect(await relative({ skip })).toEqual(['a/b.yaml/stacker.yaml', 'a/stacker.yaml', 'stacker.yaml']);
    expect(await relative({ skip, pattern: /\/other\.yaml$/g })).toEqual(['a/other.yaml']);
    await expect(relative({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'interrupted' });
    await expect(findRecipes(path.join(directory, 'none') as AbsPath)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
