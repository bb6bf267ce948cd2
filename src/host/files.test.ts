import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hostBytes } from '../core/host-text.ts';
import * as files from './files.ts';

let scratch: string;

beforeEach(async () => {
  scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'stk-files-'));
});
afterEach(() => fs.rm(scratch, { recursive: true }));

const names = async () =>
  (await fs.readdir(scratch, { encoding: 'buffer' })).map(name => name.toString('latin1')).sort();

describe('files', () => {
  it('makes, moves and removes files whose names are not UTF-8', async () => {
    const file = `${scratch}/\udce9`;
    await files.writeFile(file, 'x');
    await files.rename(file, `${file}\udcff`);
    await files.mkdir(`${scratch}/d\udc80/deep\udc81`, { recursive: true });
    await files.symlink('\udcfe', `${scratch}/l\udc82`);
    expect(await names()).toEqual(['d\u0080', 'l\u0082', '\u00e9\u00ff']);
    expect(await files.readFile(`${file}\udcff`, 'utf8')).toBe('x');
    expect((await files.lstat(`${file}\udcff`)).size).toBe(1);
    await files.rm(`${scratch}/d\udc80`, { recursive: true });
    await files.unlink(`${file}\udcff`);
    expect(await names()).toEqual(['l\u0082']);
  });

  it('lists names exactly, as text and as entries', async () => {
    for (const name of ['plain', 'é', '\ufffd', '\udce9', 'é\udce9'])
      await fs.writeFile(Buffer.concat([Buffer.from(`${scratch}/`), hostBytes(name)]), '');
    const expected = ['plain', 'é', '\ufffd', '\udce9', 'é\udce9'].sort();
    expect((await files.readdir(scratch)).sort()).toEqual(expected);
    const entries = await files.readdir(scratch, { withFileTypes: true });
    expect(entries.map(entry => entry.name).sort()).toEqual(expected);
    expect(entries.every(entry => entry.isFile())).toBe(true);
    const bytes = await files.readdir(scratch, { encoding: 'buffer' });
    expect(bytes.every(name => Buffer.isBuffer(name))).toBe(true);
  });

  it('reads links, real paths and makes temporary directories exactly', async () => {
    await files.symlink('to/\udce9', `${scratch}/link`);
    expect(await files.readlink(`${scratch}/link`)).toBe('to/\udce9');
    await files.mkdir(`${scratch}/\udce9`);
    expect(await files.realpath(`${scratch}/\udce9/.`)).toBe(`${await fs.realpath(scratch)}/\udce9`);
    const made = await files.mkdtemp(`${scratch}/\udce9/t-`);
    expect(made).toMatch(/\/\udce9\/t-\w{6}$/u);
    expect((await files.stat(made)).isDirectory()).toBe(true);
  });
});
