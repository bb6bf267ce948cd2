import { Digester, isDigest, type Digest } from '../core/digest.ts';
import { StkError, errnoOf, throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { lstatSync, readFile, type BigIntStats } from '../host/files.ts';
import { readRegularFile } from '../host/open-regular-file.ts';

/** A file changed this recently before it was hashed may change again without its times showing it. */
const RACY_NS = 2_000_000_000n;

interface Entry {
  readonly stamp: string;
  readonly digest: Digest;
}

/**
 * Digests of files on the host, remembered by device, inode, size, mtime and ctime as git's index does, so that an
 * unchanged file is not read again.
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
    const entries = (this.#entries ??= await this.#load());
    const before = statNow(file);
    const stamp = [before.dev, before.ino, before.size, before.mtimeNs, before.ctimeNs].join(':');
    const known = entries.get(file);
    if (known?.stamp === stamp) return known.digest;
    const digester = new Digester();
    for await (const chunk of readRegularFile(file)) {
      throwIfAborted(signal);
      digester.update(chunk);
    }
    const digest = digester.finish();
    if (BigInt(Date.now()) * 1_000_000n - before.ctimeNs > RACY_NS) {
      entries.set(file, { stamp, digest });
      this.#changed = true;
    }
    return digest;
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
      return new Map(rows.filter(([, entry]) => typeof entry.stamp === 'string' && isDigest(entry.digest)));
    } catch {
      return new Map();
    }
  }
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
