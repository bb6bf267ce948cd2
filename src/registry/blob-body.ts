import zlib from 'node:zlib';
import { decodeContent } from '../host/content-coding.ts';
import type { HttpResponse } from '../host/http-response.ts';
import { showUrl } from '../host/http-url.ts';
import type { Descriptor } from '../oci/descriptor.ts';

/** Of a body, to see what it holds. */
const SNIFFED_BYTES = 1024;

/**
 * Whether a body differs from the blob by a coding of the way. Stores of objects also name the blob's own compression in
 * the header; then the length is the blob's.
 */
export function isCoded(response: HttpResponse, descriptor: Descriptor): boolean {
  if (response.coding === undefined) return false;
  const total = /\/(\d{1,15})$/.exec(response.header('content-range') ?? '')?.[1];
  return (response.status === 206 ? Number(total) : response.contentLength) !== descriptor.size;
}

/** The bytes of the blob in an answer, in pieces; a digest decides whether they are right. */
export async function* blobBody(
  response: HttpResponse,
  descriptor: Descriptor,
): AsyncGenerator<Buffer, void, undefined> {
  if (!isCoded(response, descriptor)) return yield* response.rawStream();
  if (response.contentLength !== undefined || !isGzip(response.coding!) || !descriptor.mediaType.endsWith('gzip')) {
    return yield* response.stream();
  }
  // Without a length the content tells: what is coded is a stream of gzip in a stream of gzip.
  const source = response.rawStream();
  const head: Buffer[] = [];
  let sizeBytes = 0;
  while (sizeBytes < SNIFFED_BYTES) {
    const { value } = await source.next();
    if (!value) break;
    head.push(value);
    sizeBytes += value.byteLength;
  }
  const whole = joined(head, source);
  if (isGzipInside(Buffer.concat(head))) yield* decodeContent(whole, response.coding!, showUrl(response.url));
  else yield* whole;
}

async function* joined(head: readonly Buffer[], rest: AsyncGenerator<Buffer, void, undefined>): AsyncGenerator<Buffer> {
  yield* head;
  yield* rest;
}

function isGzip(coding: string): boolean {
  return coding === 'gzip' || coding === 'x-gzip';
}

function isGzipInside(bytes: Buffer): boolean {
  try {
    const inner = zlib.gunzipSync(bytes, { finishFlush: zlib.constants.Z_SYNC_FLUSH });
    return inner[0] === 0x1f && inner[1] === 0x8b;
  } catch {
    return false;
  }
}
