import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { absPath } from '../core/paths.ts';
import { digestOf } from '../core/digest.ts';
import { setToolPath } from '../host/tool-path.ts';
import { provenanceOf } from './provenance.ts';

let home: string;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'stk-provenance-'));
  await mkdir(path.join(home, 'sub'));
  setToolPath(process.env['PATH']);
});
afterEach(() => rm(home, { recursive: true }));

const git = (...args: string[]) =>
  execFileSync('git', ['-C', home, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args], { encoding: 'utf8' }).trim();

async function annotations(): Promise<Readonly<Record<string, string>>> {
  const text = 'app: {from: "http://u:p@h/x.tar"}\n';
  const directory = absPath('sub', home);
  const recipe = {
    file: `${directory}/s.yaml`,
    directory,
    text,
    digest: digestOf(text),
    images: [],
    prerequisites: [],
  };
  return (await provenanceOf(recipe, 'ns', '1')).annotations;
}

it('names the tag that leads to the commit, the commit without one, and nothing outside of git', async () => {
  const version = async () => (await annotations())['ns.stacker.git_version'];
  expect(await version()).toBeUndefined();
  git('init', '-q');
  expect(await version()).toBeUndefined();
  await writeFile(path.join(home, 'f'), 'one');
  git('add', 'f');
  git('commit', '-qm', 'one');
  expect(await version()).toBe(git('rev-parse', 'HEAD'));
  await writeFile(path.join(home, 'f'), 'two');
  expect(await version()).toBe(`${git('rev-parse', 'HEAD')}-dirty`);
  git('tag', 'v1.0');
  git('commit', '-qam', 'two');
  expect(await version()).toBe(git('describe', '--tags'));
  expect(await version()).toMatch(/^v1\.0-1-g[0-9a-f]+$/);
  await writeFile(path.join(home, 'f'), 'three');
  expect(await version()).toBe(`${git('describe', '--tags')}-dirty`);
});

it('holds the recipe without the logins of its URLs', async () => {
  expect((await annotations())['ns.stacker.stacker_yaml']).toBe('app: {from: "http://***@h/x.tar"}\n');
});
