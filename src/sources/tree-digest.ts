import { digestOf, type Digest } from '../core/digest.ts';
import { StkError, throwIfAborted } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import type { AbsPath } from '../core/paths.ts';
import { readdir, readlink, realpath, stat } from '../host/files.ts';
import { missingFile, type FileDigests } from './file-digests.ts';

const MAX_DEPTH = 512;
const PARALLEL_FILES = 8;

/** What a path on the host holds, reduced to what an image can show of it. */
export interface TreeDigest {
  readonly type: 'file' | 'directory';
  /** Over names, types, permission bits (those without ACLs), link targets and contents; owners and times do not count. */
  readonly digest: Digest;
  /** Of the file's bytes; `undefined` for a directory. */
  readonly content: Digest | undefined;
}

/**
 * Digest of a file or a directory tree. A symlink given as the path itself is followed, those inside a tree are kept.
 * Throws `not-found` where there is nothing, `invalid-input` for sockets, devices and fifos.
 */
export async function treeDigest(path: AbsPath, files: FileDigests, signal?: AbortSignal): Promise<TreeDigest> {
  const root = await describe(path, files);
  if (root.type === 'file') {
    const content = await files.digest(path, signal);
    return { type: 'file', digest: digestOf(`file ${octal(root.mode)} ${content}`), content };
  }
  const found: FoundInTree = { rows: [], files: [], digests: files };
  await collect({ path, prefix: '', depth: 0 }, found, signal);
  const { rows, files: pending } = found;
  const digests = await mapLimited(pending, PARALLEL_FILES, (file, inner) => files.digest(file.path, inner), signal);
  for (const [index, file] of pending.entries()) rows.push(`${file.name}\0content ${digests[index]}`);
  rows.sort();
  return {
    type: 'directory',
    digest: digestOf(`directory ${octal(root.mode)}\n${rows.join('\n')}`),
    content: undefined,
  };
}

async function describe(path: AbsPath, files: FileDigests): Promise<{ type: 'file' | 'directory'; mode: number }> {
  const found = await stat(path).catch((error: unknown) => {
    throw missingFile(error, path);
  });
  const type = found.isFile() ? 'file' : found.isDirectory() ? 'directory' : undefined;
  if (type !== undefined) return { type, mode: await files.mode((await realpath(path)) as AbsPath) };
  throw new StkError('invalid-input', `neither file nor directory: ${path}`, { facts: { path } });
}

interface Directory {
  readonly path: AbsPath;
  /** What names of its entries begin with in the rows. */
  readonly prefix: string;
  readonly depth: number;
}

interface FoundInTree {
  readonly rows: string[];
  /** Files whose content is to be added to the rows. */
  readonly files: { readonly path: AbsPath; readonly name: string }[];
  readonly digests: FileDigests;
}

async function collect(
  { path: directory, prefix, depth }: Directory,
  found: FoundInTree,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { rows, files, digests } = found;
  throwIfAborted(signal);
  if (depth > MAX_DEPTH) throw new StkError('invalid-input', `directories nest deeper than ${MAX_DEPTH}: ${directory}`);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = `${directory}/${entry.name}` as AbsPath;
    const name = `${prefix}${JSON.stringify(entry.name)}`;
    if (entry.isSymbolicLink()) {
      rows.push(`${name}\0link ${JSON.stringify(await readlink(path))}`);
      continue;
    }
    if (entry.isDirectory()) {
      rows.push(`${name}\0directory ${octal(await digests.mode(path))}`);
      await collect({ path, prefix: `${name}/`, depth: depth + 1 }, found, signal);
    } else if (entry.isFile()) {
      rows.push(`${name}\0file ${octal(await digests.mode(path))}`);
      files.push({ path, name });
    } else {
      throw new StkError('invalid-input', `neither file, directory nor symlink: ${path}`, { facts: { path } });
    }
  }
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8);
}
