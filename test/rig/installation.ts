import { chmod, copyFile, cp, mkdir, mkdtemp, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import type { TestProject } from 'vitest/node';
import { commandAs, ordinaryUser, self } from './users.ts';

/** The program under test, in a place that every user can read. */
export interface Installation {
  /** The Node that runs the tests, where the ordinary user can execute it. */
  readonly node: string;
  /** The bundled command line. */
  readonly cli: string;
  /** Where rigs make their directories: on a filesystem that can hold an overlay's upper directory. */
  readonly rigs: string;
  /** A Debian root filesystem as tar, shared by all test runs of this user. */
  readonly debianBase: string | undefined;
}

declare module 'vitest' {
  interface ProvidedContext {
    readonly stk: Installation;
  }
}

const REPOSITORY = path.resolve(import.meta.dirname, '../..');
const OVERLAYFS = 0x794c7630;
const TMPFS = 0x01021994;

/** Set-up of the end-to-end project: builds the command line into a directory of this run, and removes it at the end. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const home = await testHome();
  await removeAbandoned(home);
  const rigs = await mkdtemp(path.join(home, `run-${process.pid}-`));
  await chmod(rigs, 0o755);
  const dist = path.join(rigs, 'stk/dist');
  await execa(process.execPath, ['scripts/build.mjs', dist], { cwd: REPOSITORY });
  for (const name of ['schemas', 'package.json']) {
    await cp(path.join(REPOSITORY, name), path.join(rigs, 'stk', name), { recursive: true });
  }
  project.provide('stk', {
    node: await executableNode(rigs),
    cli: path.join(dist, 'stk.js'),
    rigs,
    debianBase: await debianBase(home),
  });
  return () => rm(rigs, { recursive: true, force: true });
}

/** A directory for test data: below TMPDIR, /var/tmp or /tmp, whichever is on a disk, or at least no overlay. */
async function testHome(): Promise<string> {
  const candidates = [process.env['TMPDIR'], '/var/tmp', '/tmp', '/dev/shm'].filter(name => name !== undefined);
  const types = await Promise.all(
    candidates.map(name =>
      statfs(name).then(
        fs => fs.type,
        () => OVERLAYFS,
      ),
    ),
  );
  const disk = candidates.find((_, index) => types[index] !== TMPFS && types[index] !== OVERLAYFS);
  const place = disk ?? candidates.find((_, index) => types[index] !== OVERLAYFS) ?? '/var/tmp';
  const home = path.join(place, `stk-test-${self.uid}`);
  await mkdir(home, { recursive: true, mode: 0o755 });
  const { uid, mode } = await stat(home);
  if (uid !== self.uid || (mode & 0o022) !== 0) throw new Error(`${home} belongs to somebody else`);
  return home;
}

/** Removes the directories of test runs that were killed. */
async function removeAbandoned(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    const pid = /^run-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || (await stat(`/proc/${pid}`).catch(() => undefined))) continue;
    await execa('rm', ['-rf', '--one-file-system', path.join(home, name)], { reject: false });
  }
}

/** The Node of this process, or a copy of it where the ordinary user cannot reach it. */
async function executableNode(directory: string): Promise<string> {
  if (!(await ordinaryUser())) return process.execPath;
  const { file, args, identity } = await commandAs('user', [process.execPath, '--version'], {});
  const result = await execa(file, args, { ...identity, cwd: '/', reject: false });
  if (!result.failed) return process.execPath;
  const copy = path.join(directory, 'node');
  await copyFile(process.execPath, copy);
  await chmod(copy, 0o755);
  return copy;
}

/** Debian's smallest root filesystem that has apt, made once and kept. */
async function debianBase(home: string): Promise<string | undefined> {
  const file = path.join(home, 'bookworm-minbase.tar');
  if ((await stat(file).catch(() => undefined)) === undefined) {
    const unfinished = `${file}.${process.pid}.tar`;
    const made = await execa('mmdebstrap', ['--quiet', '--variant=minbase', 'bookworm', unfinished], {
      cwd: home,
      reject: false,
    });
    if (made.failed) {
      console.log(`no Debian base for the tests: ${made.stderr ?? made.shortMessage}`);
      await rm(unfinished, { force: true });
      return undefined;
    }
    await chmod(unfinished, 0o644);
    await rename(unfinished, file);
  }
  return file;
}
