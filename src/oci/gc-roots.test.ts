import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { collectGarbage } from './gc.ts';
import { addGcRoot, markCollecting, readGcRoots, removeGcRoot } from './gc-roots.ts';
import { LayoutStore } from './layout.ts';

let scratch = '' as AbsPath;
const at = (name: string) => path.join(scratch, name) as AbsPath;
const digest = digestOf(Buffer.from('a'));
const other = digestOf(Buffer.from('b'));

beforeEach(async () => {
  scratch = (await mkdtemp(path.join(os.tmpdir(), 'stk-roots-'))) as AbsPath;
  await mkdir(at('oci'));
  await writeFile(at('user'), '');
});
afterEach(() => rm(scratch, { recursive: true }));

it('stand as long as what needs them', async () => {
  await addGcRoot(at('oci'), { digest, path: at('user') });
  await addGcRoot(at('oci'), { digest: other, path: at('gone') });
  expect(await readGcRoots(at('oci'))).toEqual([{ digest, path: at('user') }]);
  await writeFile(at('gone'), '');
  expect(await readGcRoots(at('oci'))).toHaveLength(1);
  await rm(at('user'));
  expect(await readGcRoots(at('oci'))).toEqual([]);
  expect(await readdir(at('oci'))).toEqual([]);
});

it('are replaced by later ones of the same path, and taken back', async () => {
  await addGcRoot(at('oci'), { digest, path: at('user') });
  await addGcRoot(at('oci'), { digest: other, path: at('user') });
  expect(await readGcRoots(at('oci'))).toEqual([{ digest: other, path: at('user') }]);
  await removeGcRoot(at('oci'), at('user'));
  await removeGcRoot(at('oci'), at('user'));
  expect(await readdir(at('oci'))).toEqual([]);
});

it('stand where nobody can tell whether they are needed', async () => {
  await symlink('circle', at('circle'));
  await addGcRoot(at('oci'), { digest, path: at('circle/below') });
  expect(await readGcRoots(at('oci'))).toHaveLength(1);
});

it('cost nothing in a layout that cannot be written', async () => {
  expect(await addGcRoot('/proc/self' as AbsPath, { digest, path: at('user') })).toEqual({ collecting: false });
  expect(await readGcRoots(at('nowhere'))).toEqual([]);
});

it('tell whether garbage is being collected', async () => {
  expect(await addGcRoot(at('oci'), { digest, path: at('user') })).toEqual({ collecting: false });
  {
    await using _mark = await markCollecting(at('oci'));
    expect(await addGcRoot(at('oci'), { digest, path: at('user') })).toEqual({ collecting: true });
  }
  expect(await addGcRoot(at('oci'), { digest, path: at('user') })).toEqual({ collecting: false });
});

it('are no more than what they are: nothing malformed counts or fails', async () => {
  const directory = at('oci/.needed-by');
  await mkdir(directory);
  for (const [name, text] of [
    ['a', 'text'],
    ['b', '[]'],
    ['c', JSON.stringify({ digest: 'x', path: '/' })],
    ['d', JSON.stringify({ digest, path: 'relative' })],
    ['e', 'x'.repeat(100_000)],
  ] as const) {
    await writeFile(path.join(directory, name), text);
  }
  await symlink('/dev/zero', path.join(directory, 'f'));
  await mkdir(path.join(directory, 'g'));
  expect(await readGcRoots(at('oci'))).toEqual([]);
});

it('keep what they name from the collector, and no longer', async () => {
  const layout = await LayoutStore.create(at('layout'));
  const bytes = Buffer.from('a');
  await layout.putBlob({ mediaType: 'x', digest, size: 1 }, async function* () {
    yield bytes;
  });
  await addGcRoot(layout.directory, { digest, path: at('user') });
  expect(await collectGarbage(layout, { keep: [], dryRun: true })).toEqual([]);
  expect(await collectGarbage(layout, { keep: [], dryRun: false })).toEqual([]);
  await rm(at('user'));
  const alsoKeep = async () => [digest];
  expect(await collectGarbage(layout, { keep: [], alsoKeep, dryRun: false })).toEqual([]);
  expect(await collectGarbage(layout, { keep: [], dryRun: false })).toEqual([{ digest, sizeBytes: 1 }]);
  expect((await readdir(layout.directory)).toSorted()).toEqual(['blobs', 'index.json', 'oci-layout']);
});
