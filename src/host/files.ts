import fsSync from 'node:fs';
import * as fs from 'node:fs/promises';
import { hasRawBytes, hostBytes, hostText } from '../core/host-text.ts';

/*
 * The functions of node:fs by which paths go in and names come out, with texts in the form of `hostText`: Node writes
 * every string as UTF-8 and reads names as UTF-8 with losses, so that files of other names could not be reached.
 * Everything else (flags, errors, handles) is Node's.
 */

export { constants } from 'node:fs/promises';
export type { FileHandle } from 'node:fs/promises';
export type { BigIntStats, Stats } from 'node:fs';

/** A path as Node hands it to the system unchanged. */
function systemPath<T>(path: T): T | Buffer {
  return typeof path === 'string' && hasRawBytes(path) ? hostBytes(path) : path;
}

type Call = (...args: unknown[]) => unknown;
type AnyCall = (...args: never[]) => unknown;

/** Wraps a function whose first argument is a path. */
function onPath<F extends AnyCall>(call: F): F {
  return ((path: unknown, ...rest: unknown[]) => (call as unknown as Call)(systemPath(path), ...rest)) as unknown as F;
}

/** Wraps a function whose first two arguments are paths. */
function onPaths<F extends AnyCall>(call: F): F {
  return ((from: unknown, to: unknown, ...rest: unknown[]) =>
    (call as unknown as Call)(systemPath(from), systemPath(to), ...rest)) as unknown as F;
}

/** Wraps a function that answers with a path: asked again for bytes where text lost some. */
function answeringPath<F extends AnyCall>(call: F): F {
  return (async (path: unknown, options?: unknown) => {
    const at = systemPath(path);
    const answer = await (call as unknown as Call)(at, options);
    if (typeof answer !== 'string' || !answer.includes('\ufffd')) return answer;
    return hostText((await (call as unknown as Call)(at, { encoding: 'buffer' })) as Buffer);
  }) as unknown as F;
}

export const access = onPath(fs.access);
export const chmod = onPath(fs.chmod);
export const chown = onPath(fs.chown);
export const link = onPaths(fs.link);
export const lstat = onPath(fs.lstat);
export const mkdir = onPath(fs.mkdir);
export const open = onPath(fs.open);
export const readFile = onPath(fs.readFile);
export const rename = onPaths(fs.rename);
export const rm = onPath(fs.rm);
export const rmdir = onPath(fs.rmdir);
export const stat = onPath(fs.stat);
export const statfs = onPath(fs.statfs);
export const symlink = onPaths(fs.symlink);
export const unlink = onPath(fs.unlink);
export const utimes = onPath(fs.utimes);
export const writeFile = onPath(fs.writeFile);

export const readlink = answeringPath(fs.readlink);
export const realpath = answeringPath(fs.realpath);

/** As Node's, for text. */
export async function mkdtemp(prefix: string): Promise<string> {
  if (!hasRawBytes(prefix)) return fs.mkdtemp(prefix);
  return hostText(await fs.mkdtemp(hostBytes(prefix) as unknown as string, { encoding: 'buffer' }));
}

/** As Node's, without `recursive`. */
export const readdir = (async (directory: unknown, options?: object) => {
  const at = systemPath(directory) as string;
  const entries: readonly (string | Buffer | fsSync.Dirent)[] = await fs.readdir(
    at,
    options as { withFileTypes: true },
  );
  const isLossy = (name: string | Buffer) => typeof name === 'string' && name.includes('\ufffd');
  if (!entries.some(entry => isLossy(entry instanceof fsSync.Dirent ? entry.name : entry))) return entries;
  const exact = (await fs.readdir(at, { ...options, encoding: 'buffer' })) as unknown as (
    Buffer | fsSync.Dirent<Buffer>
  )[];
  return exact.map(entry => {
    if (Buffer.isBuffer(entry)) return hostText(entry);
    return Object.assign(entry as unknown as fsSync.Dirent, { name: hostText(entry.name) });
  });
}) as unknown as typeof fs.readdir;

export const closeSync = fsSync.closeSync;
export const createReadStream = onPath(fsSync.createReadStream);
export const createWriteStream = onPath(fsSync.createWriteStream);
export const existsSync = onPath(fsSync.existsSync);
export const lstatSync = onPath(fsSync.lstatSync);
export const openSync = onPath(fsSync.openSync);
export const readdirSync = onPath(fsSync.readdirSync);
export const readFileSync = onPath(fsSync.readFileSync);
export const readSync = fsSync.readSync;
export const writeSync = fsSync.writeSync;

/** As Node's, for text. */
export function readlinkSync(path: string): string {
  return hostText(fsSync.readlinkSync(systemPath(path), { encoding: 'buffer' }));
}
