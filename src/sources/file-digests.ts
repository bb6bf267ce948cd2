import { Digester, isDigest, type Digest } from '../core/digest.ts';
import { StkError, errnoOf, throwIfAborted } from '../core/errors.ts';
import { hostBytes } from '../core/host-text.ts';
import type { AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { lstatSync, readFile, type BigIntStats } from '../host/files.ts';
import { readRegularFile } from '../host/open-regular-file.ts';
import { plainMode } from '../layer/host-acl.ts';

/** A file changed this recently before it was hashed may change again without its times showing it. */
const RACY_NS = 2_000_000_000n;

interface Entry {
  readonly stamp: string;
  readonly digest?: Digest | undefined;
  readonly mode?: number | undefined;
}

/**
 * Digests of files on the host and their permission bits without ACLs, remembered by device, inode, size, mtime and ctime
 * as git's index does, so that an unchanged file is not read again.
 */
export class FileDigests {
  readonly #file: AbsPath;
  #entries: Map<string, Entry> | undefined;
  #changed = false;

  /** @param file where the memory is kept; a damaged or absent one is an empty one */
  constructor(file: AbsPath) {
    this.#file = file;
  }

  async digest(file: AbsPath, signal?: AbortSignal): Promise<Digest> {
    await this.#ready();
    const before = statNow(file);
    const known = this.#known(file, before).digest;
    if (known !== undefined) return known;
    const digester = new Digester();
    for await (const chunk of readRegularFile(file)) {
      throwIfAborted(signal);
      digester.update(chunk);
    }
    const digest = digester.finish();
    this.#remember(file, before, { digest });
    return digest;
  }

  /** Permission bits of a file or directory, not of a symlink, as a layer has them: ACLs are no part of one. */
  async mode(file: AbsPath): Promise<number> {
    await this.#ready();
    const before = statNow(file);
    const known = this.#known(file, before).mode;
    if (known !== undefined) return known;
    const { mode } = plainMode(hostBytes(file), Number(before.mode), false);
    this.#remember(file, before, { mode });
    return mode;
  }

  async #ready(): Promise<void> {
    this.#entries ??= await this.#load();
  }

  #known(file: AbsPath, stats: BigIntStats): Partial<Entry> {
    const known = this.#entries!.get(file);
    return known?.stamp === stampOf(stats) ? known : {};
  }

  #remember(file: AbsPath, stats: BigIntStats, learnt: Pick<Entry, 'digest' | 'mode'>): void {
    if (BigInt(Date.now()) * 1_000_000n - stats.ctimeNs <= RACY_NS) return;
    this.#entries!.set(file, { ...this.#known(file, stats), ...learnt, stamp: stampOf(stats) });
    this.#changed = true;
  }

  /** Writes what was learnt, if anything. */
  async save(): Promise<void> {
    if (!this.#changed || !this.#entries) return;
    await writeFileAtomic(this.#file, JSON.stringify([...this.#entries]));
    this.#changed = false;
  }

  async #load(): Promise<Map<string, Entry>> {
    try {
      const rows = JSON.parse(await readFile(this.#file, 'utf8')) as [string, Entry][];
      return new Map(rows.filter(([, entry]) => isEntry(entry)));
    } catch {
      return new Map();
    }
  }
}

function stampOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(':');
}

function isEntry({ stamp, digest, mode }: Entry): boolean {
  const isMode = mode === undefined || (Number.isInteger(mode) && mode >= 0 && mode <= 0o7777);
  return typeof stamp === 'string' && (digest === undefined || isDigest(digest)) && isMode;
}

/** Many small calls, for which a thread each would cost ten times the call. */
function statNow(file: AbsPath): BigIntStats {
  try {
    return lstatSync(file, { bigint: true });
  } catch (error) {
    throw missingFile(error, file);
  }
}

/** `not-found` for a path that does not exist; any other error as it is. */
export function missingFile(error: unknown, path: AbsPath): unknown {
  const errno = errnoOf(error);
  if (errno !== 'ENOENT' && errno !== 'ENOTDIR') return error;
  return new StkError('not-found', `no such file or directory: ${path}`, { cause: error, facts: { path } });
}
