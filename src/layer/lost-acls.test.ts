import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import {
  convertTar,
  imageTree,
  quickOptions,
  run,
  tarOf,
  temporaryDirectory,
  type EntrySketch,
} from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import type { AbsPath } from '../core/paths.ts';
import { LostAcls } from './lost-acls.ts';
import { emptyLower } from './lower-tree.ts';
import { packEntries } from './pack-entries.ts';
import { packLayer } from './pack.ts';
import { paxRecord } from './tar-pax.ts';

requires('root', 'tool:tar2sqfs', 'tool:mksquashfs', 'tool:unsquashfs', 'tool:getfattr', 'tool:setfattr', 'tool:tar');

const directory = temporaryDirectory();
const output = `${directory}/layer` as AbsPath;
afterAll(() => directory[Symbol.dispose]());

/** user::rw-, user:1001:rwx, group::r--, mask::rwx, other::r--: the mode is 0674. */
const ACCESS = '0x0200000001000600ffffffff02000700e903000004000400ffffffff10000700ffffffff20000400ffffffff';
/** user::rwx, user:1001:rwx, group::---, mask::rwx, other::r-x. */
const DEFAULT = '0x0200000001000700ffffffff02000700e903000004000000ffffffff10000700ffffffff20000500ffffffff';
const bytes = (hex: string) => Buffer.from(hex.slice(2), 'hex');

/** A tree of the host with ACLs: one on a file, one on another with a set-group-ID bit, a default one on a directory. */
function hostTree(name: string): AbsPath {
  const root = `${directory}/${name}` as AbsPath;
  mkdirSync(`${root}/d`, { recursive: true });
  const set = (kind: string, value: string, file: string) =>
    run('setfattr', '-n', `system.posix_acl_${kind}`, '-v', value, `${root}/${file}`);
  for (const file of ['f', 'g', 'plain']) writeFileSync(`${root}/${file}`, file, { mode: 0o664 });
  chmodSync(`${root}/plain`, 0o664);
  set('access', ACCESS, 'f');
  set('access', ACCESS, 'g');
  chmodSync(`${root}/g`, 0o2674);
  set('default', DEFAULT, 'd');
  run('ln', `${root}/f`, `${root}/linked`);
  return root;
}

/** Modes of a layer. */
function modes(): Record<string, string> {
  return Object.fromEntries(Object.entries(imageTree(output)).map(([name, text]) => [name, text.split(' ')[1]!]));
}

const expected = { './d': '755', './f': '644', './g': '2644', './linked': '644', './plain': '664' };

describe('the owning group keeps its permissions, and a warning names the files', () => {
  it('of an upper directory', async () => {
    const warnings: string[] = [];
    await packLayer({
      upper: hostTree('upper'),
      lower: emptyLower,
      output,
      options: quickOptions,
      onWarning: text => warnings.push(text),
    });
    expect(modes()).toMatchObject(expected);
    expect(warnings).toEqual([expect.stringMatching(/^4 files .*: \/d, \/f, \/g, \/linked;/)]);
  });

  it('of files of the host', async () => {
    const root = hostTree('od');
    const warnings: string[] = [];
    await packEntries({
      entries: [{ path: '/', source: { type: 'host', path: root } }],
      lower: emptyLower,
      output,
      options: quickOptions,
      onWarning: text => warnings.push(text),
    });
    expect(modes()).toMatchObject(expected);
    expect(warnings).toEqual([expect.stringMatching(/^3 files .*\/od\/d, .*\/od\/f, .*\/od\/g;/)]);
  });

  it('of a tar that GNU tar wrote', async () => {
    const root = hostTree('archived');
    const warnings: string[] = [];
    const archive = execFileSync('tar', ['--acls', '-cf', '-', '-C', root, '.']);
    expect(archive.includes('SCHILY.acl.access')).toBe(true);
    await convertTar(archive, output, { onWarning: text => warnings.push(text) });
    expect(modes()).toMatchObject(expected);
    expect(warnings).toEqual([expect.stringMatching(/^4 files .*: (\/(d|f|g|linked)(, )?){4};/)]);
  });

  it.each<[string, Buffer]>([
    ['the xattr', tarOf(entry({ xattrs: new Map([['system.posix_acl_access', bytes(ACCESS)]]) }))],
    [
      'libarchive’s form of the xattr',
      withPax(`LIBARCHIVE.xattr.system.posix_acl_access`, bytes(ACCESS).toString('base64')),
    ],
    ['text', withPax('SCHILY.acl.access', 'user::rw-,user:lisa:rwx:1001,group::r--,mask::rwx,other::r--')],
  ])('of a tar with %s', async (_, archive) => {
    const warnings: string[] = [];
    await convertTar(archive, output, { onWarning: text => warnings.push(text) });
    expect(modes()).toMatchObject({ './f': '644' });
    expect(warnings).toEqual([expect.stringMatching(/^1 file .*: \/f;/)]);
  });
});

it('files that an archive replaces are not counted, and ACLs that say no more are not mentioned', async () => {
  const minimal = bytes('0x0200000001000600ffffffff04000400ffffffff20000400ffffffff');
  const warnings: string[] = [];
  const acl = { xattrs: new Map([['system.posix_acl_access', bytes(ACCESS)]]) };
  const archive = tarOf(entry(acl), entry({ mode: 0o640 }), {
    path: 'm',
    xattrs: new Map([['system.posix_acl_access', minimal]]),
  });
  await convertTar(archive, output, { onWarning: text => warnings.push(text) });
  expect(modes()).toMatchObject({ './f': '640', './m': '644' });
  expect(warnings).toEqual([]);
});

it('of many files the first ones are named', () => {
  const lost = new LostAcls();
  for (let i = 0; i < 20; i++) lost.add(`/${i}`);
  const warnings: string[] = [];
  lost.report(text => warnings.push(text));
  expect(warnings).toEqual([expect.stringMatching(/^20 files .*: \/0, \/1, \/2, \/3, \/4 and 15 more;/)]);
});

function entry(more: Partial<EntrySketch>): EntrySketch {
  return { path: 'f', mode: 0o674, ...more };
}

/** An archive of one file with a pax record. */
function withPax(key: string, value: string): Buffer {
  const body = paxRecord(key, value);
  const header = tarOf({ path: 'x', content: body.toString('latin1') });
  // Type `x` in place of a file; the checksum follows.
  header.write('x', 156, 'latin1');
  header.write('        ', 148, 'latin1');
  const sum = header.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return Buffer.concat([header.subarray(0, header.length - 1024), tarOf(entry({}))]);
}
