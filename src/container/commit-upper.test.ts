import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { snapshotUpper } from './commit-upper.ts';

/** While true, the next directory that is about to be locked goes, as if a commit beside it had come first. */
const sweep = vi.hoisted(() => ({ next: false }));
vi.mock(import('../host/file-lock.ts'), async original => {
  const real = await original();
  return {
    ...real,
    tryLockFile: async (directory, ...rest) => {
      if (sweep.next) await rm(directory, { recursive: true });
      sweep.next = false;
      return real.tryLockFile(directory, ...rest);
    },
  };
});

let directory: string;
let upper: AbsPath;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'stk-snapshot-'));
  upper = path.join(directory, 'upper') as AbsPath;
  await mkdir(upper);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

it('is whole, though a commit beside it takes what is not locked yet', async () => {
  await writeFile(path.join(upper, 'file'), '');
  sweep.next = true;
  const snapshot = await snapshotUpper(upper);
  expect(sweep.next).toBe(false);
  expect(await readdir(snapshot.path)).toEqual(['file']);
  await using beside = await snapshotUpper(upper);
  expect(await readdir(snapshot.path)).toEqual(['file']);
  await snapshot[Symbol.asyncDispose]();
  expect(await readdir(beside.path)).toEqual(['file']);
  await beside[Symbol.asyncDispose]();
  expect(await readdir(directory)).toEqual(['upper']);
});

it('can be changed without the upper directory, of which it keeps links and times', async () => {
  const script = `
    echo 1 > one; ln one two; echo 2 > other; ln -s other link; mkdir d e; echo 3 > d/opaque; touch d/.wh..opq e/three; mkfifo e/pipe
    setfattr -n user.overlay.origin -v x one; setfattr -n user.fuseoverlayfs.origin -v /3 e/three
    setfattr -n user.kind -v test one; setfattr -n user.fuseoverlayfs.opaque -v y d d/opaque
    printf '\\377 a\\n' | xargs -0 touch; for f in *a*; do setfattr -n user.overlay.origin -v x -- "$f"; done
    touch -d '2001-02-03 04:05:06.999999999' . d e one`;
  const look = async (cwd: string, text: string) => (await execa('sh', ['-ec', text], { cwd })).stdout;
  const list = (cwd: string) =>
    look(cwd, "find . -printf '%P %y %m %U %s %Ts\\n' | sort; getfattr -Rhd -m - . ; cat one");
  await look(upper, script);
  const before = await list(upper);
  await using snapshot = await snapshotUpper(upper);
  expect(before).toMatch(/origin/);
  const names = "find . -printf '%P %y %m %U %s %Ts %l\\n' | grep -v wh | sort";
  expect(await look(snapshot.path, names)).toBe(await look(upper, names));
  const xattrs = await look(snapshot.path, 'getfattr -Rhd -m - .');
  expect(xattrs).not.toContain('fuseoverlayfs');
  expect(xattrs).toMatch(/# file: d\nuser.overlay.opaque="y"/);
  expect(xattrs).toContain('user.kind');
  await look(snapshot.path, 'for f in one *a*; do setfattr -x user.overlay.origin -- "$f"; done; echo more >> two');
  expect(await look(snapshot.path, 'stat -c %h one two other')).toBe('2\n2\n2');
  expect(await list(upper)).toBe(before);
});
