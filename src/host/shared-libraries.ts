import path from 'node:path';
import { readElfFile, type ElfFile } from './elf-file.ts';
import { readFile } from './files.ts';

const CACHE = '/etc/ld.so.cache';
/** Of the GNU C library, in the machine's byte order (sysdeps/generic/dl-cache.h, `struct cache_file_new`). */
const MAGIC = 'glibc-ld.so.cache1.1';
const HEADER_BYTES = 48;
const ENTRY_BYTES = 24;
/** Where loaders look last; musl's has no cache. */
const USUAL = ['/lib', '/usr/local/lib', '/usr/lib', '/lib64', '/usr/lib64'];
/** More than any tool of a host needs. */
const MAX_LIBRARIES = 200;

/**
 * The libraries that a program needs, those that they need included, by the names that its loader looks for: found as the
 * loader would, without starting it. `undefined` where only the loader can tell: a library is not where libraries usually
 * are, or a file brings a search path of its own.
 */
export async function findSharedLibraries(program: ElfFile): Promise<ReadonlyMap<string, string> | undefined> {
  const found = new Map<string, string>();
  const cache = await readCache();
  const loader = path.basename(program.interpreter ?? '');
  const pending: ElfFile[] = [program];
  for (const file of pending) {
    if (file.hasSearchPath || found.size > MAX_LIBRARIES) return undefined;
    for (const name of file.needed) {
      // The loader is there already when its name comes up.
      if (name === loader || found.has(name)) continue;
      const library = name.includes('/') ? undefined : await findLibrary(name, cache, program.machine);
      if (library === undefined) return undefined;
      found.set(name, library.path);
      pending.push(library.elf);
    }
  }
  return found;
}

type Cache = ReadonlyMap<string, readonly string[]>;

async function findLibrary(
  name: string,
  cache: Cache,
  machine: string,
): Promise<{ readonly path: string; readonly elf: ElfFile } | undefined> {
  for (const candidate of [...(cache.get(name) ?? []), ...USUAL.map(directory => `${directory}/${name}`)]) {
    const elf = await readElfFile(candidate).catch(() => undefined);
    if (elf?.machine === machine) return { path: candidate, elf };
  }
  return undefined;
}

/** What ldconfig(8) wrote down: for each name, paths in their order. Those for special processors are left out. */
async function readCache(): Promise<Cache> {
  const bytes = await readFile(CACHE).catch(() => Buffer.alloc(0));
  const start = bytes.indexOf(MAGIC);
  const cache = new Map<string, string[]>();
  // In an old file the part that counts lies behind another one, and its texts are counted from its own start.
  if (start < 0 || bytes.length < start + HEADER_BYTES) return cache;
  const part = bytes.subarray(start);
  const view = new DataView(part.buffer, part.byteOffset, part.byteLength);
  const count = view.getUint32(20, true);
  const textAt = (at: number) => {
    const end = part.indexOf(0, at);
    return end < 0 ? '' : part.toString('utf8', at, end);
  };
  for (let index = 0; index < count; index++) {
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    if (at + ENTRY_BYTES > part.length) break;
    if (view.getBigUint64(at + 16, true) !== 0n) continue;
    const name = textAt(view.getUint32(at + 4, true));
    cache.set(name, [...(cache.get(name) ?? []), textAt(view.getUint32(at + 8, true))]);
  }
  return cache;
}
