import path from 'node:path';
import { digestHex, digestOf, isDigest, type Digest } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { joinInside } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { lstat, mkdir, readFile, readdir, rm } from '../host/files.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { parseRepository, type RegistryHost, type RepositoryName } from '../oci/reference.ts';

/** Smaller blobs are sent as fast as they are taken from a neighbour; they are known within the process only. */
const MIN_KEPT_BYTES = 32 * 1024;
const MAX_BLOBS = 5000;
const MAX_PLACES = 4;
const MAX_FILE_BYTES = 8 * 1024 * 1024;
/** Registries that are remembered. */
const MAX_FILES = 50;

/** Blobs and where they are, the longest known first; of each blob the last place found comes first. */
type Places = Map<Digest, readonly RepositoryName[]>;

/**
 * In which repositories of a registry a blob was seen, so that another repository can be asked to take it from there. A
 * guess: what was seen may be gone, and what the file says was written by anybody.
 */
export class BlobPlaces {
  readonly #host: RegistryHost;
  readonly #directory: AbsPath | undefined;
  /** What this process has learnt: whether a blob is in a repository. */
  readonly #learnt = new Map<Digest, Map<RepositoryName, boolean>>();
  readonly #small = new Set<Digest>();
  #kept: Promise<Places> | undefined;

  /** @param directory where each registry's places are kept, in a file of its own; without one, only in memory */
  constructor(host: RegistryHost, directory?: AbsPath) {
    this.#host = host;
    this.#directory = directory;
  }

  /** A repository other than this one that may have the blob. */
  async find(digest: Digest, besides: RepositoryName): Promise<RepositoryName | undefined> {
    const learnt = this.#learnt.get(digest);
    const recent = [...(learnt ?? [])].findLast(([name, isThere]) => isThere && name !== besides);
    if (recent) return recent[0];
    const kept = await (this.#kept ??= this.#load());
    return kept.get(digest)?.find(name => name !== besides && learnt?.get(name) !== false);
  }

  add({ digest, size }: Descriptor, repository: RepositoryName): void {
    if (size < MIN_KEPT_BYTES) this.#small.add(digest);
    this.#learn(digest, repository, true);
  }

  forget(digest: Digest, repository: RepositoryName): void {
    this.#learn(digest, repository, false);
  }

  #learn(digest: Digest, repository: RepositoryName, isThere: boolean): void {
    const known = this.#learnt.get(digest) ?? new Map<RepositoryName, boolean>();
    known.delete(repository);
    this.#learnt.set(digest, known.set(repository, isThere));
  }

  /** Keeps what was learnt, if anything is new. Never throws: what is not kept is only sent again. */
  async save(): Promise<void> {
    if (this.#directory === undefined || this.#learnt.size === 0) return;
    try {
      // What other processes have kept meanwhile stays.
      const places = await this.#load();
      if (!this.#merge(places)) return;
      const blobs = [...places].slice(-MAX_BLOBS);
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await writeFileAtomic(this.#file()!, JSON.stringify({ host: this.#host, blobs }), { mode: 0o600 });
      await this.#prune(this.#directory);
    } catch {
      return;
    }
  }

  /** Returns whether anything changed. */
  #merge(places: Places): boolean {
    let changed = false;
    for (const [digest, learnt] of this.#learnt) {
      const before = places.get(digest) ?? [];
      const kept = before.filter(name => learnt.get(name) !== false);
      const fresh = [...learnt].flatMap(([name, isThere]) => (isThere && !before.includes(name) ? [name] : []));
      const isNew = fresh.length > 0 && !this.#small.has(digest);
      if (!isNew && kept.length === before.length) continue;
      changed = true;
      places.delete(digest);
      const after = isNew ? [...fresh.toReversed(), ...kept].slice(0, MAX_PLACES) : kept;
      if (after.length > 0) places.set(digest, after);
    }
    return changed;
  }

  #file(): AbsPath | undefined {
    const name = `${digestHex(digestOf(this.#host)).slice(0, 32)}.json`;
    return this.#directory && joinInside(this.#directory, name);
  }

  /** What is damaged or absent is empty. */
  async #load(): Promise<Places> {
    const file = this.#file();
    if (file === undefined) return new Map();
    try {
      const found = await lstat(file);
      if (!found.isFile() || found.size > MAX_FILE_BYTES) return new Map();
      return parsePlaces(JSON.parse(await readFile(file, 'utf8')), this.#host);
    } catch {
      return new Map();
    }
  }

  async #prune(directory: AbsPath): Promise<void> {
    const names = (await readdir(directory)).filter(name => /^[0-9a-f]{32}\.json$/.test(name));
    if (names.length <= MAX_FILES) return;
    const files = await Promise.all(
      names.map(async name => {
        const file = path.join(directory, name);
        return { file, writtenMs: (await lstat(file)).mtimeMs };
      }),
    );
    const oldest = files.toSorted((a, b) => a.writtenMs - b.writtenMs).slice(0, -MAX_FILES);
    for (const { file } of oldest) await rm(file, { force: true });
  }
}

/** Whatever is not well formed is left out. */
function parsePlaces(value: unknown, host: RegistryHost): Places {
  const places: Places = new Map();
  if (typeof value !== 'object' || value === null) return places;
  const { host: written, blobs } = value as { readonly host?: unknown; readonly blobs?: unknown };
  if (written !== host || !Array.isArray(blobs)) return places;
  for (const row of blobs.slice(-MAX_BLOBS) as readonly unknown[]) {
    const [digest, names] = Array.isArray(row) ? (row as readonly unknown[]) : [];
    if (!isDigest(digest) || !Array.isArray(names)) continue;
    const repositories = (names as readonly unknown[]).slice(0, MAX_PLACES).filter(isRepository);
    if (repositories.length > 0) places.set(digest, repositories);
  }
  return places;
}

function isRepository(name: unknown): name is RepositoryName {
  try {
    return typeof name === 'string' && parseRepository(name) === name;
  } catch {
    return false;
  }
}
