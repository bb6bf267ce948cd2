import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readConfigFile } from './config-file.ts';

let home = '';
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'stk-config-'));
  await mkdir(path.join(home, 'stk'));
});
afterAll(() => rm(home, { recursive: true }));

const read = async (text: string) => {
  await writeFile(path.join(home, 'stk', 'config.yaml'), text);
  return readConfigFile(undefined, { XDG_CONFIG_HOME: home }, '/');
};

it('gives the options that it names', async () => {
  expect(await read('stk_dir: /var/stk\nprogress: plain\ndebug: true\n')).toEqual({
    stkDir: '/var/stk',
    progress: 'plain',
    debug: true,
  });
  expect(await read('')).toEqual({});
});

it('takes settings of stacker, and its file where there is no other', async () => {
  expect(await read('stacker_dir: /s\nrootfs_dir: /r\n')).toEqual({ stackerDir: '/s', rootsDir: '/r' });
  const other = await mkdtemp(path.join(tmpdir(), 'stk-config-'));
  try {
    await mkdir(path.join(other, 'stacker'));
    await writeFile(path.join(other, 'stacker', 'conf.yaml'), 'oci_dir: /o\nstacker_dir: /s\nits_own: [1]\n');
    expect(await readConfigFile(undefined, { XDG_CONFIG_HOME: other }, '/')).toEqual({
      ociDir: '/o',
      stackerDir: '/s',
    });
    await mkdir(path.join(other, 'stk'));
    await writeFile(path.join(other, 'stk', 'config.yaml'), 'oci_dir: /mine\n');
    expect(await readConfigFile(undefined, { XDG_CONFIG_HOME: other }, '/')).toEqual({ ociDir: '/mine' });
  } finally {
    await rm(other, { recursive: true });
  }
});

it('is optional unless named', async () => {
  expect(await readConfigFile(undefined, {}, '/')).toEqual({});
  expect(await readConfigFile(undefined, { HOME: '/nowhere' }, '/')).toEqual({});
  await expect(readConfigFile('/nowhere.yaml', {}, '/')).rejects.toMatchObject({ code: 'not-found' });
});

it.each(['stk_dri: x', '- a', 'progress: loud', 'stk_dir: [1]', 'debug: "yes"', 'a: {', '*x'])(
  'refuses %s',
  async text => {
    await expect(read(text)).rejects.toMatchObject({ code: 'usage' });
  },
);
