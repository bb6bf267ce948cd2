import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import {
  imageTree,
  lowerDirectory,
  lowerOf,
  quickOptions,
  temporaryDirectory,
} from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import { emptyLower, type LowerLookup } from './lower-tree.ts';
import { packEntries, type LayerEntry, type PackEntriesRequest } from './pack-entries.ts';

requires('root', 'tool:tar2sqfs', 'tool:unsquashfs', 'tool:getfattr');

const directory = temporaryDirectory();
const source = `${directory}/source` as AbsPath;
const output = `${directory}/layer` as AbsPath;
afterAll(() => directory[Symbol.dispose]());

beforeAll(() => {
  mkdirSync(source);
  const text = `mkdir -p d/e; printf 1 >d/f; ln d/f d/e/g; ln -s /etc/passwd d/s; printf 2 >$(printf 'd/n\\377'); printf 3 >.wh.x
    chmod 640 d/f; chmod 700 d; mkfifo d/p; touch -hd @3000 d/f d/s d/n* .wh.x; touch -d @1000 d/e d`;
  execFileSync('sh', ['-ec', text], { cwd: source });
});

const pack = (entries: readonly LayerEntry[], more: Partial<PackEntriesRequest> = {}) =>
  packEntries({ entries, lower: emptyLower, output, options: quickOptions, epochSeconds: 2000, ...more });

/** Kind, mode, owner and time alone. */
const outline = () =>
  Object.fromEntries(
    Object.entries(imageTree(output)).map(([name, text]) => [name, text.split(' ').slice(0, 4).join(' ')]),
  );
const host = (path: string, name = ''): LayerEntry => ({
  path,
  source: { type: 'host', path: `${source}${name}` as AbsPath },
});
const content = (path: string, text: string): LayerEntry => ({
  path,
  source: { type: 'content', bytes: Buffer.from(text) },
});

it('files of the host become root’s, times no newer than the epoch, symlinks are not followed', async () => {
  const warnings: string[] = [];
  await pack([host('/opt/app', '/d')], { onWarning: text => warnings.push(text) });
  expect(outline()).toEqual({
    '.': 'd 755 0:0 @0',
    './opt': 'd 755 0:0 @0',
    './opt/app': 'd 700 0:0 @1000',
    './opt/app/e': 'd 755 0:0 @1000',
    './opt/app/e/g': 'f 640 0:0 @2000',
    './opt/app/f': 'f 640 0:0 @2000',
    './opt/app/n\xff': 'f 644 0:0 @2000',
    './opt/app/s': 'l 0:0 @2000 ->',
  });
  expect(imageTree(output)['./opt/app/f']).toContain('= ./opt/app/e/g');
  expect(warnings.join()).toContain('d/p');
});

it('mode and owner can be given, content too; the later of two wins', async () => {
  const entries = [
    content('a', 'one'),
    { ...host('b', '/d/f'), mode: 0o4755, uid: 5, gid: 6 },
    { ...content('a', 'two'), mode: 0o600 },
  ];
  await pack(entries);
  expect(outline()).toEqual({ '.': 'd 755 0:0 @0', './a': 'f 600 0:0 @2000', './b': 'f 4755 5:6 @2000' });
});

it('names that look like whiteouts are names', async () => {
  await pack([host('', '')]);
  expect(outline()).toHaveProperty(['./.wh.x'], 'f 644 0:0 @2000');
});

describe('directories of lower layers', () => {
  const lower: LowerLookup = lowerOf({
    usr: lowerDirectory(),
    'usr/lib': lowerDirectory(0o711, 4),
    d: lowerDirectory(0o1777),
    lib: { type: 'symlink', target: 'usr/lib' },
  });

  it('keep their attributes when content is added', async () => {
    await pack([host('', '')], { lower });
    expect(outline()['./d']).toBe('d 1777 0:0 @5');
    expect(outline()['./d/e']).toBe('d 755 0:0 @1000');
  });

  it('are found behind symlinks', async () => {
    await pack([host('lib', '/d')], { lower });
    expect(outline()).toMatchObject({ './usr/lib': 'd 711 4:4 @5', './usr/lib/f': 'f 640 0:0 @2000' });
    expect(outline()).not.toHaveProperty(['./lib']);
  });

  it('take a mode that was asked for', async () => {
    await pack([{ ...host('d', '/d'), mode: 0o750 }], { lower });
    expect(outline()['./d']).toBe('d 750 0:0 @1000');
  });
});

it('the same files give the same bytes', async () => {
  const options = { ...quickOptions, verity: true };
  expect(await pack([host('', '')], { options })).toEqual(await pack([host('', '')], { options }));
});

it('what is not there is not found, and nothing is left', async () => {
  await expect(pack([host('x', '/missing')])).rejects.toMatchObject({ code: 'not-found' });
  await expect(pack([content('x', 'y')], { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: 'interrupted',
  });
  execFileSync('rm', ['-f', output]);
  await expect(pack([content('f', 'y'), content('f/g', 'y')])).rejects.toMatchObject({ code: 'invalid-input' });
  expect(existsSync(output)).toBe(false);
});
