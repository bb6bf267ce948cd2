import { StkError } from '../core/errors.ts';
import { blobBody, isCoded } from './blob-body.ts';
import type { HttpResponse } from '../host/http-response.ts';
import { showUrl } from '../host/http-url.ts';
import type { Patience } from '../host/patience.ts';
import { openDigester } from '../host/thread-digester.ts';
import { cutShort, isTransient, problemOf } from '../host/transport-error.ts';
import type { ReadOptions } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { refusal } from './refusal.ts';
import type { RegistrySession } from './session.ts';

/**
 * Streams a blob, hashing as it goes; after a dropped connection goes on from the byte it had reached. Ends with
 * `integrity` unless every byte was right, so nobody may act on the bytes before the end.
 */
export async function* downloadBlob(
  session: RegistrySession,
  descriptor: Descriptor,
  options: ReadOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const digester = openDigester(descriptor.size);
  const patience = session.client.patience(`reading ${blobName(session, descriptor)}`);
  const { signal } = options;
  try {
    for (;;) {
      try {
        const from = digester.sizeBytes;
        const response = await openBlob(session, descriptor, { from, patience, signal });
        const skipBytes = from - (await firstByte(response, descriptor, from));
        for await (const chunk of skipped(response, descriptor, skipBytes)) {
          const wait = digester.update(chunk);
          if (wait) await wait;
          if (digester.sizeBytes > descriptor.size) throw wrongBytes(session, descriptor, digester.sizeBytes);
          yield chunk;
          patience.moved(chunk.byteLength);
          options.onProgress?.(digester.sizeBytes);
        }
        if (digester.sizeBytes >= descriptor.size) break;
        throw cutShort(response.url, descriptor.size, digester.sizeBytes);
      } catch (error) {
        if (digester.sizeBytes === descriptor.size && isTransient(error)) break;
        if (!isTransient(error)) throw error;
        if (!(await patience.again(problemOf(error), signal))) throw patience.over(error);
      }
    }
    if ((await digester.finish()) !== descriptor.digest) {
      throw wrongBytes(session, descriptor, digester.sizeBytes);
    }
  } finally {
    patience.hold();
    digester.abandon();
  }
}

/** Where a blob is asked from, and up to before which byte if not to its end. */
interface OpenBlobOptions {
  readonly from: number;
  readonly end?: number;
  readonly patience: Patience;
  readonly signal: AbortSignal | undefined;
}

/** For messages. */
export function blobName({ host, repository }: RegistrySession, { digest }: Descriptor): string {
  return `blob ${digest} of ${host}/${repository}`;
}

/**
 * Asks for a blob from a byte on, up to before `end` if given. Only 200 and 206 are returned. What a redirect led to
 * and refused (its URL may have expired) is transient.
 */
export async function openBlob(
  session: RegistrySession,
  descriptor: Descriptor,
  options: OpenBlobOptions,
): Promise<HttpResponse> {
  const { from, end, patience, signal } = options;
  const range = from > 0 || end !== undefined ? { range: `bytes=${from}-${end === undefined ? '' : end - 1}` } : {};
  const target = `blobs/${descriptor.digest}`;
  const response = await session.send({ target, access: 'pull', headers: range, patience, signal });
  if (response.status === 206 && isCoded(response, descriptor)) {
    // A part of what is coded is of no use.
    await response.discard();
    return openBlob(session, descriptor, { from: 0, patience, signal });
  }
  if (response.status === 200 || response.status === 206) {
    await assertNoPage(response, descriptor);
    return response;
  }
  const refused = await refusal(response, `read ${blobName(session, descriptor)}`);
  if (response.status === 416) throw wrongSize(descriptor, `the registry's ends before byte ${from}`);
  if (session.wasRedirected(response, target) && (response.status === 403 || response.status === 404)) {
    throw new StkError('network', `${showUrl(response.url)} answered ${response.status}`, {
      cause: refused,
      facts: { ...refused.facts, reason: 'ECONNRESET' },
    });
  }
  throw refused;
}

/** What stands between us and the registry, such as a login page of a network, answers everything with HTML. */
async function assertNoPage(response: HttpResponse, descriptor: Descriptor): Promise<void> {
  const isPage = response.header('content-type')?.startsWith('text/html') === true;
  if (!isPage || descriptor.mediaType.startsWith('text/html')) return;
  await response.discard();
  throw new StkError('registry', `${showUrl(response.url)} answered with a web page, not a blob`, {
    hint: 'check that the address is that of a registry, and that the network needs no login of its own',
    facts: { url: showUrl(response.url) },
  });
}

/**
 * Which byte of the blob a response begins with; never one after `from`. Checks what the headers say of the size; a
 * response that is refused is discarded.
 */
export async function firstByte(response: HttpResponse, descriptor: Descriptor, from: number): Promise<number> {
  const first = checkedFirstByte(response, descriptor, from);
  if (typeof first === 'number') return first;
  await response.discard();
  throw first;
}

function checkedFirstByte(response: HttpResponse, descriptor: Descriptor, from: number): number | StkError {
  const { contentLength } = response;
  if (response.status === 200) {
    if (contentLength === undefined || contentLength === descriptor.size || isCoded(response, descriptor)) return 0;
    return wrongSize(descriptor, `the registry's is ${contentLength} bytes long`);
  }
  const range = response.header('content-range') ?? '';
  const [, first, total] = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(range) ?? [];
  if (first === undefined || Number(first) > from) {
    return new StkError('registry', `${showUrl(response.url)} answered another range than the one asked for`);
  }
  if (total !== '*' && Number(total) !== descriptor.size) {
    return wrongSize(descriptor, `the registry's is ${total} bytes long`);
  }
  return Number(first);
}

/** A blob's body without its first bytes. */
export async function* skipped(
  response: HttpResponse,
  descriptor: Descriptor,
  skipBytes: number,
): AsyncGenerator<Buffer, void, undefined> {
  let left = skipBytes;
  for await (const chunk of blobBody(response, descriptor)) {
    if (left === 0) yield chunk;
    else if (chunk.byteLength > left) {
      yield chunk.subarray(left);
      left = 0;
    } else left -= chunk.byteLength;
  }
}

function wrongSize(descriptor: Descriptor, how: string): StkError {
  return new StkError('integrity', `blob ${descriptor.digest} should be ${descriptor.size} bytes long but ${how}`, {
    facts: { digest: descriptor.digest, sizeBytes: descriptor.size },
  });
}

function wrongBytes(session: RegistrySession, descriptor: Descriptor, foundBytes: number): StkError {
  const name = `${session.host}/${session.repository}`;
  return new StkError('integrity', `${name}: bytes received do not match blob ${descriptor.digest}`, {
    hint: 'the registry or something on the way to it changed the bytes; nothing of them was kept',
    facts: { digest: descriptor.digest, sizeBytes: descriptor.size, foundBytes },
  });
}
