import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { AbsPath } from '../core/paths.ts';
import type { LowerLookup, LowerNode } from './lower-tree.ts';
import type { PackOptions } from './pack-options.ts';
import { tarPadding, type TarEntry } from './tar-entry.ts';
import { TAR_END, tarHeader } from './tar-writer.ts';

/** Packing that is quick in tests. */
export const quickOptions: PackOptions = { compressor: 'zstd', level: 1, blockSizeBytes: 128 * 1024, verity: false };

export function temporaryDirectory(): AbsPath & Disposable {
  const directory = mkdtempSync(path.join(tmpdir(), 'stk-layer-'));
  const dispose = () => rmSync(directory, { recursive: true, force: true });
  return Object.assign(directory, { [Symbol.dispose]: dispose }) as unknown as AbsPath & Disposable;
}

export function run(file: string, ...args: readonly string[]): string {
  return execFileSync(file, args, { encoding: 'latin1', stdio: ['ignore', 'pipe', 'pipe'] });
}

export type EntrySketch = Partial<TarEntry> & { readonly path: string; readonly content?: string };

/** An archive of entries that are files of mode 644 unless they say otherwise. */
export function tarOf(...sketches: readonly EntrySketch[]): Buffer {
  const parts = sketches.flatMap(sketch => {
    const body = Buffer.from(sketch.content ?? '', 'latin1');
    return [tarHeader(tarEntry(sketch)), body, Buffer.alloc(tarPadding(body.length))];
  });
  return Buffer.concat([...parts, TAR_END]);
}

export function tarEntry({ content = '', ...sketch }: EntrySketch): TarEntry {
  const owner = { uid: 0, gid: 0, mtimeSeconds: 1_000_000_000, deviceMajor: 0, deviceMinor: 0 };
  const mode = sketch.type === 'directory' ? 0o755 : 0o644;
  return { type: 'file', linkPath: '', mode, ...owner, sizeBytes: content.length, xattrs: new Map(), ...sketch };
}

export async function* chunked(bytes: Uint8Array, chunkBytes = 64 * 1024): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

/** A lower tree from a table of paths. */
export function lowerOf(nodes: Readonly<Record<string, LowerNode>>): LowerLookup {
  const has = (at: string) => Object.hasOwn(nodes, at);
  return {
    lookup: async at => (has(at) ? nodes[at] : undefined),
    isDirectory: async at => at === '' || (has(at) && nodes[at]!.type === 'directory'),
  };
}

export function lowerDirectory(mode = 0o755, uid = 0): LowerNode {
  return { type: 'directory', attributes: { mode, uid, gid: uid, mtimeSeconds: 5, xattrs: new Map() } };
}

/** Unpacks an image with unsquashfs and tells what came out. */
export function imageTree(image: string): Record<string, string> {
  using directory = temporaryDirectory();
  const root = `${directory}/root`;
  run('unsquashfs', '-no-progress', '-dest', root, image);
  return hostTree(root);
}

/** Every node below a directory: kind, mode, owner, time, xattrs, and what makes up its content. Names are latin1. */
export function hostTree(root: string): Record<string, string> {
  const tree: Record<string, string> = {};
  const links = new Map<number, string>();
  const pending: Buffer[] = [Buffer.from('.')];
  const xattrs = treeXattrs(root);
  const at = (relative: Buffer) => Buffer.concat([Buffer.from(`${root}/`), relative]);
  for (let relative = pending.pop(); relative; relative = pending.pop()) {
    const stats = lstatSync(at(relative));
    const name = relative.toString('latin1');
    const shown = [
      (stats.mode & 0o7777).toString(8),
      `${stats.uid}:${stats.gid}`,
      `@${Math.floor(stats.mtimeMs / 1000)}`,
    ];
    if (stats.isDirectory()) {
      shown.unshift('d');
      const names = readdirSync(at(relative), { encoding: 'buffer' });
      names.sort((a, b) => Buffer.compare(b, a));
      for (const child of names) pending.push(Buffer.concat([relative, Buffer.from('/'), child]));
    } else if (stats.isSymbolicLink()) {
      shown.splice(0, 1, 'l');
      shown.push(`-> ${readlinkSync(at(relative), { encoding: 'buffer' }).toString('latin1')}`);
    } else if (stats.isFile()) {
      shown.unshift('f');
      const first = links.get(stats.ino);
      if (first !== undefined) shown.push(`= ${first}`);
      else if (stats.size < 1 << 26)
        shown.push(
          createHash('md5')
            .update(readFileSync(at(relative)))
            .digest('hex'),
        );
      else shown.push(`size ${stats.size}`);
      if (stats.nlink > 1) links.set(stats.ino, first ?? name);
    } else {
      shown.unshift(stats.isFIFO() ? 'p' : stats.isSocket() ? 's' : stats.isBlockDevice() ? 'b' : 'c');
      if (!stats.isFIFO()) shown.push(String(stats.rdev));
    }
    tree[name] = [...shown, ...(xattrs.get(name) ?? [])].join(' ');
  }
  return tree;
}

function treeXattrs(root: string): Map<string, string[]> {
  const dump = execFileSync('getfattr', ['-R', '-P', '-h', '-d', '-e', 'hex', '-m', '-', '.'], {
    cwd: root,
    encoding: 'latin1',
    maxBuffer: 1 << 28,
  });
  const found = new Map<string, string[]>();
  for (const block of dump.split('\n\n')) {
    const [head, ...lines] = block.split('\n').filter(line => line !== '');
    if (head === undefined) continue;
    const name = head
      .slice('# file: '.length)
      .replace(/\\(\d{3})/g, (_, o: string) => String.fromCharCode(Number.parseInt(o, 8)));
    found.set(name === '.' ? '.' : `./${name}`, lines.sort());
  }
  return found;
}
