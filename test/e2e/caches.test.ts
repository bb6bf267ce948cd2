import { readdir, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { lockFile } from '../../src/host/file-lock.ts';
import type { AbsPath } from '../../src/core/paths.ts';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('overlay');

interface Listing {
  readonly caches: readonly { readonly kind: string; readonly entries: number; readonly sizeBytes: number }[];
  readonly sizeBytes: number;
}

it('are listed, pruned by commands at their end, checked, and made again', async () => {
  await using rig = await StkRig.open();
  await rig.write('stacker.yaml', { app: { from: 'scratch', imports: [{ content: 'x', dest: '/x' }] } });
  await rig.ok(['build']);
  const convert = ['convert', 'oci:oci:app', 'oci:tar:app', '--layer-type', 'tar'];
  await rig.ok(convert);
  const list = async () => {
    const { caches } = JSON.parse(await rig.ok(['cache', 'ls', '--json'])) as Listing;
    return Object.fromEntries(caches.map(({ kind, entries }) => [kind, entries]));
  };
  const { converted } = await list();
  expect(converted).toBeGreaterThan(0);
  expect(await rig.ok(['cache', 'ls'])).toMatch(/^converted +\d/m);
  expect(await rig.ok(['cache', 'prune', '--older-than', '1h'])).toBe('removed 0 entries, 0 B\n');
  expect(await rig.ok(['cache', 'prune', '--all', '-n'])).toMatch(/^would remove \d+ entries/m);
  expect((await list())['converted']).toBe(converted);

  // Everything is old, and the last pruning too: the next command that adds something tidies up.
  const blobs = rig.path('.stk/converted/blobs/sha256');
  const names = await readdir(blobs);
  for (const name of names) await utimes(path.join(blobs, name), 0, 0);
  const records = rig.path('.stk/cache/convert');
  for (const name of await readdir(records)) await utimes(path.join(records, name), 0, 0);
  await rig.ok(['build', '--no-cache']);
  expect(await readdir(blobs)).toEqual(names);
  await utimes(rig.path('.stk/cache/.pruned'), 0, 0);
  const running = await lockFile(rig.path('.stk') as AbsPath, 'shared');
  await rig.ok(['build', '--no-cache']);
  expect(await rig.ok(['cache', 'prune', '--kind', 'converted', '--all'])).toBe('removed 0 entries, 0 B\n');
  expect(await readdir(blobs)).toEqual(names);
  await running[Symbol.asyncDispose]();
  await rig.write('config.yaml', { caches: { converted: { age: 'none' } } });
  await rig.ok(['--config', 'config.yaml', 'build', '--no-cache']);
  expect(await readdir(blobs)).toEqual(names);
  await utimes(rig.path('.stk/cache/.pruned'), 0, 0);
  await rig.ok(['build', '--no-cache']);
  expect(await readdir(blobs)).toEqual([]);

  await rig.ok(convert);
  const [first] = await readdir(blobs);
  await writeFile(path.join(blobs, first!), 'damaged');
  const { exitCode, stdout } = await rig.stk(['cache', 'verify']);
  expect([exitCode, stdout]).toEqual([7, expect.stringContaining(`converted ${first} damaged, removed`)]);
  await expect(stat(path.join(blobs, first!))).rejects.toMatchObject({ code: 'ENOENT' });
  await rig.ok(['cache', 'verify']);
  await rig.ok(['cache', 'prune', '--all']);
  await rig.ok(convert);
  await rig.ok(['clean']);
});
