import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { absPath, type AbsPath } from '../core/paths.ts';
import { GivenFiles } from './given-files.ts';

const run = promisify(execFile);
let home: string;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'stk-given-'));
});
afterEach(() => rm(home, { recursive: true }));

async function pipe(name: string): Promise<AbsPath> {
  await run('mkfifo', [path.join(home, name)]);
  return absPath(name, home);
}

/** Somebody writes to a pipe, once. */
function writes(file: string, text: string): void {
  spawn('sh', ['-c', 'printf %s "$1" > "$0"', file, text], { stdio: 'ignore' });
}

describe('files named on the command line', () => {
  it('are read again and again where they are pipes, here and by whom they are handed to', async () => {
    const file = await pipe('p');
    const files = new GivenFiles({}, new AbortController().signal);
    writes(file, 'once');
    expect((await files.readPipe(file))?.toString()).toBe('once');
    expect((await files.read(file)).toString()).toBe('once');
    const other = new GivenFiles(await files.handOver(), new AbortController().signal);
    expect((await other.read(file)).toString()).toBe('once');
  });

  it('are read by two at once', async () => {
    const file = await pipe('p');
    const files = new GivenFiles({}, new AbortController().signal);
    writes(file, 'once');
    const both = await Promise.all([files.read(file), files.readPipe(file)]);
    expect(both.map(String)).toEqual(['once', 'once']);
  });

  it('are left alone where they are ordinary files', async () => {
    const file = absPath('f', home);
    await writeFile(file, 'one');
    const files = new GivenFiles({}, new AbortController().signal);
    expect(await files.readPipe(file)).toBeUndefined();
    await writeFile(file, 'two');
    expect((await files.read(file)).toString()).toBe('two');
    expect(await files.handOver()).toEqual({});
  });

  it('are no directories, and must exist', async () => {
    const files = new GivenFiles({}, new AbortController().signal);
    await expect(files.read(absPath('.', home))).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(files.read(absPath('none', home))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await files.readPipe(absPath('none', home))).toBeUndefined();
  });

  it('do not keep anybody who wants to go', async () => {
    const controller = new AbortController();
    const reading = new GivenFiles({}, controller.signal).read(await pipe('p'));
    controller.abort();
    await expect(reading).rejects.toMatchObject({ code: 'interrupted' });
    writes(absPath('p', home), '');
  });

  it('have an end', async () => {
    const files = new GivenFiles({}, new AbortController().signal);
    await expect(files.read('/dev/zero' as AbsPath)).rejects.toMatchObject({ code: 'invalid-input' });
    expect((await files.read('/dev/null' as AbsPath)).toString()).toBe('');
  });
});
