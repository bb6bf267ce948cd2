import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { chunked, imageTree, quickOptions, run, tarOf, temporaryDirectory } from '../../test/fixtures/layer-trees.ts';
import { requires } from '../../test/rig/gates.ts';
import { emptyLower } from './lower-tree.ts';
import { convertSquashfsLayer } from './squashfs-to-tar.ts';
import { convertTarLayer } from './tar-to-squashfs.ts';

requires('root', 'tool:mksquashfs', 'tool:sqfs2tar', 'tool:tar2sqfs', 'tool:setfattr', 'tool:pigz', 'tool:umoci');

const directory = temporaryDirectory();
const image = `${directory}/image` as AbsPath;
const output = `${directory}/layer.tar` as AbsPath;
afterAll(() => directory[Symbol.dispose]());

beforeAll(() => {
  const tree = `${directory}/tree`;
  mkdirSync(`${tree}/d/e`, { recursive: true });
  writeFileSync(`${tree}/d/file`, 'hello');
  writeFileSync(Buffer.from(`${tree}/\xff name`, 'latin1'), 'bytes');
  run('ln', `${tree}/d/file`, `${tree}/link`);
  run('ln', '-s', 'x'.repeat(200), `${tree}/symlink`);
  run('mknod', `${tree}/d/gone`, 'c', '0', '0');
  run('mknod', `${tree}/null`, 'c', '1', '3');
  run('mkfifo', `${tree}/fifo`);
  run('setfattr', '-n', 'user.overlay.opaque', '-v', 'y', `${tree}/d/e`);
  run('setfattr', '-n', 'user.key', '-v', 'v', `${tree}/d/file`);
  run('cp', '/bin/true', `${tree}/cap`);
  run('setcap', 'cap_net_raw+ep', `${tree}/cap`);
  run('truncate', '-s', '2M', `${tree}/sparse`);
  run('chown', '-h', '3:4', `${tree}/symlink`);
  run('chmod', '1711', tree);
  run('mksquashfs', tree, image, '-noappend', '-quiet', '-no-progress');
});

describe('a squashfs layer', () => {
  it('becomes a tar layer with whiteouts as files', async () => {
    const { digest, diffId, sizeBytes } = await convertSquashfsLayer({ input: image, output, compression: 'none' });
    const bytes = readFileSync(output);
    expect([digest, diffId, sizeBytes]).toEqual([digestOf(bytes), digestOf(bytes), bytes.length]);
    expect(run('tar', '-tf', output, '--quoting-style=literal').split('\n').slice(0, 6)).toEqual([
      './',
      'cap',
      'd/',
      'd/e/',
      'd/e/.wh..wh..opq',
      'd/file',
    ]);
    expect(run('tar', '--xattrs', '-tvvf', output)).not.toContain('overlay');
    expect(run('tar', '-tf', output)).toContain('d/.wh.gone\n');
  });

  it('comes back from tar as the same image', async () => {
    const { diffId } = await convertSquashfsLayer({ input: image, output, compression: 'gzip' });
    const back = `${directory}/back` as AbsPath;
    const source = () => chunked(readFileSync(output));
    const converted = await convertTarLayer({
      source,
      compression: 'gzip',
      output: back,
      options: quickOptions,
      lower: emptyLower,
    });
    expect(converted.diffId).toBe(diffId);
    const tree = imageTree(image);
    tree['./d/gone'] = 'c 0 0:0 @0 0';
    expect(imageTree(back)).toEqual(tree);
  });

  it.each(['gzip', 'zstd', 'none'] as const)('gives the same %s bytes each time', async compression => {
    const first = await convertSquashfsLayer({ input: image, output, compression });
    const bytes = readFileSync(output);
    expect(first.digest).toBe(digestOf(bytes));
    expect(first.sizeBytes).toBe(bytes.length);
    expect(await convertSquashfsLayer({ input: image, output, compression })).toEqual(first);
    if (compression === 'gzip') {
      expect(digestOf(gunzipSync(bytes))).toBe(first.diffId);
      // Flags and time of the gzip header (RFC 1952).
      expect(bytes.subarray(3, 8)).toEqual(Buffer.alloc(5));
    }
  });

  it('is unpacked by umoci as containers see it', async () => {
    const layout = `${directory}/layout`;
    await convertSquashfsLayer({ input: image, output, compression: 'none' });
    execFileSync('umoci', ['init', '--layout', layout], { stdio: 'pipe' });
    execFileSync('umoci', ['new', '--image', `${layout}:t`], { stdio: 'pipe' });
    const lower = `${directory}/lower.tar`;
    writeFileSync(
      lower,
      tarOf({ path: 'd/gone', content: 'x' }, { path: 'd/e/hidden', content: 'x' }, { path: 'd/kept', content: 'x' }),
    );
    for (const layer of [lower, output])
      execFileSync('umoci', ['raw', 'add-layer', '--image', `${layout}:t`, layer], { stdio: 'pipe' });
    execFileSync('umoci', ['unpack', '--image', `${layout}:t`, `${directory}/bundle`], { stdio: 'pipe' });
    const rootfs = `${directory}/bundle/rootfs`;
    expect(
      run('find', rootfs, '-mindepth', '1', '-path', '*/d*', '-printf', '%P %n\n').trim().split('\n').sort(),
    ).toEqual(['d 3', 'd/e 2', 'd/file 2', 'd/kept 1']);
    expect(run('getcap', `${rootfs}/cap`)).toContain('cap_net_raw=ep');
  });
});

describe('what cannot be', () => {
  it('a file named like a whiteout', async () => {
    mkdirSync(`${directory}/named`);
    writeFileSync(`${directory}/named/.wh.me`, '');
    run('mksquashfs', `${directory}/named`, `${directory}/named.sqfs`, '-quiet', '-no-progress');
    const input = `${directory}/named.sqfs` as AbsPath;
    await expect(convertSquashfsLayer({ input, output, compression: 'none' })).rejects.toMatchObject({
      code: 'unsupported',
    });
    expect(existsSync(output)).toBe(false);
  });

  it('a file named like a whiteout in front of more than a pipe holds', async () => {
    mkdirSync(`${directory}/first`);
    writeFileSync(`${directory}/first/.wh.me`, '');
    writeFileSync(`${directory}/first/large`, Buffer.alloc(4 * 1024 * 1024, 'x'));
    run('mksquashfs', `${directory}/first`, `${directory}/first.sqfs`, '-quiet', '-no-progress');
    const input = `${directory}/first.sqfs` as AbsPath;
    await expect(convertSquashfsLayer({ input, output, compression: 'none' })).rejects.toMatchObject({
      code: 'unsupported',
    });
    expect(existsSync(output)).toBe(false);
  });

  it.each(['none', 'gzip'] as const)('what is no image, to %s', async compression => {
    const input = `${directory}/text` as AbsPath;
    writeFileSync(input, 'x'.repeat(5000));
    await expect(convertSquashfsLayer({ input, output, compression })).rejects.toBeInstanceOf(StkError);
    const cut = `${directory}/cut` as AbsPath;
    writeFileSync(cut, readFileSync(image).subarray(0, 4096));
    await expect(convertSquashfsLayer({ input: cut, output, compression })).rejects.toBeInstanceOf(StkError);
    expect(existsSync(output)).toBe(false);
  });

  it('work for a signal that has fired', async () => {
    const signal = AbortSignal.abort();
    await expect(convertSquashfsLayer({ input: image, output, compression: 'gzip', signal })).rejects.toMatchObject({
      code: 'interrupted',
    });
    expect(existsSync(output)).toBe(false);
  });
});
