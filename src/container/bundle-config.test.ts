import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { bundleConfig, planBundleConfig, writeBundleConfig } from './bundle-config.ts';
import { runtimeSpec } from './runtime-spec.ts';

const [ONE, OTHER] = ['one', 'other'].map(text => digestOf(Buffer.from(text))) as [never, never];

function config(image = ONE, hostname = 'app') {
  const spec = runtimeSpec({
    image: { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } },
    user: { uid: 0, gid: 0, additionalGids: [] },
    command: ['true'],
    terminal: false,
    readonlyRoot: true,
    hostname,
    volumes: [],
  });
  return bundleConfig(spec, image);
}

let directory: AbsPath;
beforeEach(async () => {
  directory = (await mkdtemp(path.join(tmpdir(), 'stk-bundle-'))) as AbsPath;
});
afterEach(() => rm(directory, { recursive: true }));

describe('config.json', () => {
  const file = () => path.join(directory, 'config.json');

  it('is written where there is none, and again as long as nobody touches it', async () => {
    expect(await planBundleConfig(directory, config())).toBe('write');
    await writeBundleConfig(directory, config());
    expect(await planBundleConfig(directory, config(OTHER, 'else'))).toBe('write');
    // Another order and other white space say the same.
    await writeFile(file(), JSON.stringify(JSON.parse(await readFile(file(), 'utf8'))));
    expect(await planBundleConfig(directory, config())).toBe('write');
  });

  it("is kept once somebody has changed it, and never taken for another image's", async () => {
    await writeBundleConfig(directory, config());
    await writeFile(file(), (await readFile(file(), 'utf8')).replace('"terminal": false', '"terminal": true'));
    expect(await planBundleConfig(directory, config())).toBe('keep');
    await expect(planBundleConfig(directory, config(OTHER))).rejects.toMatchObject({ code: 'conflict' });
  });

  it.each([
    ['of another tool', '{"ociVersion":"1.0.2"}'],
    ['no JSON', '{'],
    ['a list', '[]'],
    ['empty', ''],
    ['with marks of wrong types', '{"annotations":{"dev.stk.bundle.image":1,"dev.stk.bundle.config":[]}}'],
    ['nested without end', `{"annotations":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
  ])('is not overwritten where it is %s', async (_name, text) => {
    await writeFile(file(), text);
    await expect(planBundleConfig(directory, config())).rejects.toMatchObject({ code: 'conflict' });
  });
});
