import { mkdir, rename, stat } from 'node:fs/promises';
import { canonicalJson } from '../core/canonical-json.ts';
import { digestHex, digestOf, isDigest, type Digest } from '../core/digest.ts';
import { StkError, redact } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
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
}

/**
 * The local copy of a URL. A copy whose bytes have the expected digest is used without asking; any other is
 * revalidated with the server every time, never trusted by size or age.
 */
export async function fetchHttpFile(
  url: string,
  expected: Digest | undefined,
  ports: HttpFilePorts,
  signal?: AbortSignal,
): Promise<AbsPath> {
  const key = digestOf(url);
  const known = await knownCopy(key, ports, signal);
  if (known && expected !== undefined && known.digest === expected) return known.file;
  await mkdir(ports.directory, { recursive: true });
  const fresh = joinInside(ports.directory, `${digestHex(key).slice(0, 16)}-${process.pid}-${Date.now().toString(36)}`);
  const result = await ports.download(url, fresh, known?.validators, signal);
  if (result.status === 'unchanged') {
    if (known) return known.file;
    throw new StkError('registry', `${redact(url)} answered "not modified" to a first request`);
  }
  const digest = await ports.files.digest(fresh, signal);
  const file = bodyFile(ports.directory, digest);
  await rename(fresh, file);
  await ports.records.put('http', key, { digest, validators: { ...result.validators } });
  return file;
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
