import { StkError } from '../core/errors.ts';
import { storageError } from './atomic-write.ts';
import { open, rm, type FileHandle } from './files.ts';
import type { TlsSettings } from './http-agents.ts';
import type { HttpResponse } from './http-response.ts';
import type { HttpClient } from './http.ts';
import { showUrl } from './http-url.ts';
import { isTransient, problemOf } from './transport-error.ts';

export interface DownloadValidators {
  readonly etag?: string;
  readonly lastModified?: string;
}

export type DownloadOutcome =
  { readonly status: 'unchanged' } | { readonly status: 'downloaded'; readonly validators: DownloadValidators };

export interface DownloadOptions {
  /** Ask whether a copy that came with these is still current. */
  readonly validators?: DownloadValidators | undefined;
  /** Value of an `Authorization` header for the URL's own origin. */
  readonly authorization?: string | undefined;
  readonly tls?: TlsSettings;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (doneBytes: number, totalBytes: number | undefined) => void;
}

/**
 * Downloads a URL to a file that does not exist yet; a failure leaves none. A dropped connection begins again, as an
 * unhashed body offers nothing to check a continuation against. Throws `not-found`, `unauthorized`, `registry`,
 * `network`, `storage`.
 */
export async function downloadFile(
  client: HttpClient,
  url: URL,
  target: string,
  options: DownloadOptions = {},
): Promise<DownloadOutcome> {
  const { etag, lastModified } = options.validators ?? {};
  const { authorization } = options;
  const headers = {
    ...(authorization === undefined ? {} : { authorization }),
    ...(etag === undefined ? {} : { 'if-none-match': etag }),
    ...(lastModified === undefined ? {} : { 'if-modified-since': lastModified }),
  };
  const { tls, signal } = options;
  const patience = client.patience(`downloading ${showUrl(url)}`);
  for (;;) {
    const response = await client.request({ url, headers, tls, patience, signal });
    if (response.status !== 200) {
      await response.discard();
      if (response.status === 304) return { status: 'unchanged' };
      throw refused(url, response.status);
    }
    const file = await create(target, response);
    try {
      await writeBody(response, file, options);
      return { status: 'downloaded', validators: validatorsOf(response) };
    } catch (error) {
      await rm(target, { force: true });
      if (!isTransient(error)) throw storageError(error, target);
      if (!(await patience.again(problemOf(error), signal))) throw patience.over(error);
    }
  }
}

/** What somebody else has made under the name stays theirs. */
async function create(target: string, response: HttpResponse): Promise<FileHandle> {
  try {
    return await open(target, 'wx');
  } catch (error) {
    await response.discard();
    throw storageError(error, target);
  }
}

async function writeBody(response: HttpResponse, file: FileHandle, options: DownloadOptions): Promise<void> {
  try {
    let doneBytes = 0;
    for await (const chunk of response.rawStream()) {
      await file.writeFile(chunk);
      doneBytes += chunk.byteLength;
      options.onProgress?.(doneBytes, response.contentLength);
    }
  } finally {
    await file.close();
  }
}

function validatorsOf(response: HttpResponse): DownloadValidators {
  const etag = response.header('etag');
  const lastModified = response.header('last-modified');
  return { ...(etag === undefined ? {} : { etag }), ...(lastModified === undefined ? {} : { lastModified }) };
}

function refused(url: URL, status: number): StkError {
  const code =
    status === 404 || status === 410 ? 'not-found' : status === 401 || status === 403 ? 'unauthorized' : 'registry';
  const place = `${url.host}${url.pathname}`;
  return new StkError(code, `GET ${showUrl(url)} answered ${status}`, {
    ...(status === 401
      ? { hint: `a login is taken from the credentials file: stk login ${place}, or a prefix of it` }
      : {}),
    facts: { url: showUrl(url), status },
  });
}
