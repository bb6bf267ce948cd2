import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Stk } from './stk.ts';

/** Bytes of `data`, which two of the images hold. */
const DATA_BYTES = 3 << 20;

/**
 * Writes a recipe of four images (`base`, `s1` and `s2` on it, `app` that applies `s1` and runs a step) and what it needs
 * into the directory, with a directory `changes` to commit. The same recipe gives the same images, whenever it is built.
 */
export async function writeSampleRecipe(stk: Stk): Promise<void> {
  // Asked for by every stk that is started from here.
  process.env['SOURCE_DATE_EPOCH'] = '1700000000';
  await copyFile('/bin/busybox', path.join(stk.home, 'busybox'));
  await writeFile(path.join(stk.home, 'data'), randomBytes(DATA_BYTES));
  await mkdir(path.join(stk.home, 'changes'));
  await writeFile(path.join(stk.home, 'changes/new'), randomBytes(1 << 20));
  const on = (tag: string) => ({ type: 'built', tag });
  await stk.write('stacker.yaml', {
    base: {
      from: 'scratch',
      imports: [{ path: 'busybox', dest: '/bin/busybox', mode: '0755' }],
      run: '#!/bin/busybox sh\n/bin/busybox --install -s /bin',
    },
    s1: { from: on('base'), imports: [{ content: 'one', dest: '/s' }] },
    s2: { from: on('base'), imports: [{ path: 'data', dest: '/s' }] },
    app: {
      from: on('base'),
      apply: ['s1'],
      imports: [{ path: 'data', dest: '/x' }],
      run: '#!/bin/sh\ndd if=/dev/urandom of=/y bs=64k count=16 2>/dev/null',
    },
  });
}

/** Runs commands that have to succeed. */
export async function succeed(stk: Stk, commands: readonly (readonly string[])[]): Promise<void> {
  for (const words of commands) {
    const { exitCode, output } = await stk.run(...words);
    if (exitCode !== 0) throw new Error(`stk ${words.join(' ')}: ${output}`);
  }
}
