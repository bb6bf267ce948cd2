import { randomUUID } from 'node:crypto';
import { canonicalJson } from '../core/canonical-json.ts';
import { digestHex, digestOf, isDigest, type Digest } from '../core/digest.ts';
import { StkError, isStkError, messageOf, redact, throwIfAborted } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { SingleFlight } from '../core/single-flight.ts';
import { chmod, rename, rm, stat } from '../host/files.ts';
import { makePlainDir } from '../host/usual-settings.ts';
import type { FileDigests } from './file-digests.ts';
import type { RecordCache } from './record-cache.ts';

/** What a server said of a body, to ask it later whether that is still current (RFC 9110, section 13). */
export interface Validators {
  readonly etag?: string;
  readonly lastModified?: string;
}

/** Outcome of a conditional GET; `file` was written to completion and belongs to the caller. */
export type Download =
  { readonly status: 'unchanged' } | { readonly status: 'downloaded'; readonly validators: Validators };

/** Downloads a URL to a file that does not exist yet, unless the validators still hold. */
export type DownloadFile = (
  url: string,
  target: AbsPath,
  validators: Validators | undefined,
  signal?: AbortSignal,
) => Promise<Download>;

export interface HttpFilePorts {
  readonly directory: AbsPath;
  readonly records: RecordCache;
  readonly files: FileDigests;
  readonly download: DownloadFile;
  /** Told of a copy that is used although its server could not be asked. */
  readonly onStale?: (text: string) => void;
}

/** Local copies of URLs. One object serves all who fetch at the same time, so that each URL is fetched once. */
export class HttpFiles {
  readonly #ports: HttpFilePorts;
  readonly #flights = new SingleFlight<string, AbsPath>();

  constructor(ports: HttpFilePorts) {
    this.#ports = ports;
  }

  /**
   * The local copy of a URL. A copy whose bytes have the expected digest is used without asking; any other is
   * revalidated with the server every time, never trusted by size or age; it is taken as it is only while the server
   * cannot be reached or is out of order, as caches may (RFC 5861, section 4), and where no digest is expected.
   */
  async fetch(url: string, expected: Digest | undefined, signal?: AbortSignal): Promise<AbsPath> {
    const known = await knownCopy(digestOf(url), this.#ports, signal);
    if (known && expected !== undefined && known.digest === expected) return known.file;
    // Whoever asks second shares the first one's download, and with it the first one's signal: ask again if that fired.
    for (;;) {
      throwIfAborted(signal);
      try {
        return await this.#flights.run(url, () => this.#current(url, known, expected, signal));
      } catch (error) {
        if (signal?.aborted || !isStkError(error, 'interrupted')) throw error;
      }
    }
  }

  async #current(
    url: string,
    known: KnownCopy | undefined,
    expected: Digest | undefined,
    signal: AbortSignal | undefined,
  ): Promise<AbsPath> {
    try {
      return await revalidate(url, known, this.#ports, signal);
    } catch (error) {
      if (!known || expected !== undefined || !isOutOfOrder(error)) throw error;
      this.#ports.onStale?.(`${messageOf(error)}: the copy of an earlier build is used, which may be out of date`);
      return known.file;
    }
  }
}

/** Whether a server is not there, in contrast to one that says no. */
function isOutOfOrder(error: unknown): boolean {
  if (!isStkError(error, 'network', 'registry')) return false;
  const status = error.facts['status'];
  return error.code === 'network' || (typeof status === 'number' && status >= 500);
}

async function revalidate(
  url: string,
  known: KnownCopy | undefined,
  ports: HttpFilePorts,
  signal: AbortSignal | undefined,
): Promise<AbsPath> {
  const key = digestOf(url);
  await makePlainDir(ports.directory);
  const fresh = joinInside(ports.directory, `${digestHex(key).slice(0, 16)}-${randomUUID()}`);
  const result = await ports.download(url, fresh, known?.validators, signal);
  if (result.status === 'unchanged') {
    if (known) return known.file;
    throw new StkError('registry', `${redact(url)} answered "not modified" to a first request`);
  }
  try {
    const digest = await ports.files.digest(fresh, signal);
    const file = bodyFile(ports.directory, digest);
    await chmod(fresh, 0o644);
    await rename(fresh, file);
    await ports.records.put('http', key, { digest, validators: { ...result.validators } });
    return file;
  } finally {
    await rm(fresh, { force: true });
  }
}

function bodyFile(directory: AbsPath, digest: Digest): AbsPath {
  return joinInside(directory, digestHex(digest));
}

interface KnownCopy {
  readonly file: AbsPath;
  readonly digest: Digest;
  readonly validators: Validators | undefined;
}

/** A copy is known only while its bytes still have the digest they had. */
async function knownCopy(
  key: Digest,
  ports: HttpFilePorts,
  signal: AbortSignal | undefined,
): Promise<KnownCopy | undefined> {
  const record = (await ports.records.get('http', key)) as { digest?: unknown; validators?: Validators } | undefined;
  if (!isDigest(record?.digest)) return undefined;
  const file = bodyFile(ports.directory, record.digest);
  const there = await stat(file).catch(() => undefined);
  if (!there || (await ports.files.digest(file, signal)) !== record.digest) return undefined;
  const useful = record.validators && canonicalJson({ ...record.validators }) !== '{}';
  return { file, digest: record.digest, validators: useful ? record.validators : undefined };
}
