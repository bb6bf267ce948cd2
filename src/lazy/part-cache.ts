import { randomBytes } from 'node:crypto';
import { digestHex, type Digest } from '../core/digest.ts';
import { StkError, errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { SingleFlight } from '../core/single-flight.ts';
import { tryLockFile } from '../host/file-lock.ts';
import { lstat, mkdir, readdir, rename, rm, stat } from '../host/files.ts';
import { DATA_FILE, NO_PARTS, PartFile, type BlobParts, type PartBlob } from './part-file.ts';

/** What is kept of one blob. */
export interface CachedPart {
  /** Hex digits of the blob's digest. */
  readonly key: string;
  /** On the disk; holes take no room. */
  readonly sizeBytes: number;
  readonly lastUsed: Date;
  /** Somebody has it open. */
  readonly inUse: boolean;
}

/** Room is looked at whenever a process has written this much, or a sixteenth of the most that is kept. */
const LOOK_EVERY_BYTES = 32 * 1024 * 1024;
/** Room is made down to this share of the most that is kept, so that it lasts for a while. */
const KEPT_SHARE = 0.9;

/**
 * Parts of blobs of registries, kept for the user: one directory for each blob. Beyond its size the blobs go first that were
 * not used for longest, but none that somebody has open; where these alone are too much, nothing more is kept. Any number of
 * processes may use it at once.
 */
export class PartCache {
  readonly directory: AbsPath;
  readonly #maxBytes: number;
  readonly #looking = new SingleFlight<'look', boolean>();
  readonly #lookEveryBytes: number;
  #unlookedBytes = LOOK_EVERY_BYTES;
  #hasRoom = true;

  constructor(directory: AbsPath, maxBytes = Number.POSITIVE_INFINITY) {
    this.directory = directory;
    this.#maxBytes = maxBytes;
    this.#lookEveryBytes = Math.min(LOOK_EVERY_BYTES, maxBytes / 16);
  }

  /** What is kept of a blob; nothing where the directory cannot be written. The caller disposes it. */
  async open(blob: PartBlob): Promise<BlobParts> {
    try {
      return await PartFile.open(this.#pathOf(digestHex(blob.digest)), blob, sizeBytes => this.#roomFor(sizeBytes));
    } catch (error) {
      if (errnoOf(error) === undefined && !(error instanceof StkError)) throw error;
      return NO_PARTS;
    }
  }

  async list(): Promise<readonly CachedPart[]> {
    const parts: CachedPart[] = [];
    for (const key of await readdir(this.#parts).catch(() => [])) {
      if (!isKey(key)) continue;
      const found = await lstat(joinInside(this.#pathOf(key), DATA_FILE)).catch(() => undefined);
      const lock = await tryLockFile(this.#pathOf(key), 'exclusive').catch(() => undefined);
      await lock?.[Symbol.asyncDispose]();
      parts.push({
        key,
        sizeBytes: (found?.blocks ?? 0) * 512,
        lastUsed: found?.mtime ?? new Date(0),
        inUse: lock === undefined,
      });
    }
    return parts;
  }

  /** Removes what is kept of a blob, at once; the disk gets its room back after that. `false` where it is in use. */
  async remove(key: string): Promise<boolean> {
    if (!isKey(key)) return false;
    const directory = this.#pathOf(key);
    await using lock = await tryLockFile(directory, 'exclusive').catch(() => undefined);
    if (!lock) return (await stat(directory).catch(() => undefined)) === undefined;
    await mkdir(this.#trash, { recursive: true, mode: 0o700 });
    const target = joinInside(this.#trash, randomBytes(8).toString('hex'));
    await rename(directory, target).catch(ignoreAbsence);
    await rm(target, { recursive: true, force: true });
    return true;
  }

  /** Removes what was not used for longest until no more is kept than is allowed; returns what was removed. */
  async prune(maxBytes = this.#maxBytes): Promise<readonly CachedPart[]> {
    // What a process left that was killed while it removed.
    await rm(this.#trash, { recursive: true, force: true }).catch(() => {});
    const parts = (await this.list()).toSorted((a, b) => a.lastUsed.getTime() - b.lastUsed.getTime());
    let total = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
    const removed: CachedPart[] = [];
    const kept = total > maxBytes ? maxBytes * KEPT_SHARE : maxBytes;
    for (const part of parts) {
      if (total <= kept) break;
      if (part.inUse || !(await this.remove(part.key))) continue;
      total -= part.sizeBytes;
      removed.push(part);
    }
    this.#hasRoom = total <= maxBytes;
    return removed;
  }

  /** Where parts of a blob lie, or would. */
  partPath(digest: Digest): AbsPath {
    return joinInside(this.#pathOf(digestHex(digest)), DATA_FILE);
  }

  async #roomFor(sizeBytes: number): Promise<boolean> {
    this.#unlookedBytes += sizeBytes;
    if (this.#unlookedBytes < this.#lookEveryBytes) return this.#hasRoom;
    return this.#looking.run('look', async () => {
      this.#unlookedBytes = 0;
      await this.prune().catch(() => {});
      return this.#hasRoom;
    });
  }

  get #parts(): AbsPath {
    return joinInside(this.directory, 'parts');
  }

  get #trash(): AbsPath {
    return joinInside(this.directory, 'trash');
  }

  #pathOf(key: string): AbsPath {
    return joinInside(this.#parts, key);
  }
}

function isKey(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name);
}

function ignoreAbsence(error: unknown): void {
  if (errnoOf(error) !== 'ENOENT') throw error;
}
