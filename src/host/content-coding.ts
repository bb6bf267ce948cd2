import { Readable } from 'node:stream';
import type { Transform } from 'node:stream';
import zlib from 'node:zlib';
import { StkError, errnoOf, isStkError } from '../core/errors.ts';

/** The codings that are in use (RFC 9110, section 8.4.1). Unzip tells gzip and zlib's format, which deflate is, apart. */
const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: () => zlib.createUnzip(),
  'x-gzip': () => zlib.createUnzip(),
  deflate: () => zlib.createUnzip(),
  br: () => zlib.createBrotliDecompress(),
};

/** The codings of a Content-Encoding header, outermost last, lower case; `undefined` where there is none. */
export function contentCoding(header: string | undefined): string | undefined {
  const codings = (header ?? '')
    .toLowerCase()
    .split(',')
    .map(coding => coding.trim())
    .filter(coding => coding !== '' && coding !== 'identity');
  return codings.length === 0 ? undefined : codings.join(', ');
}

/**
 * Decodes a body that came in a coding which was not asked for, as some proxies answer. Throws `registry` for one that is
 * unknown or broken; errors of the source pass.
 *
 * @param from for messages
 */
export async function* decodeContent(
  source: AsyncIterable<Buffer>,
  coding: string,
  from: string,
): AsyncGenerator<Buffer, void, undefined> {
  const decoder = Object.hasOwn(DECODERS, coding) ? DECODERS[coding]?.() : undefined;
  if (!decoder) {
    throw new StkError('registry', `${from} answered in the coding ${coding.slice(0, 100)}, which nobody asked for`, {
      hint: 'a proxy on the way may add it: let it leave the bodies of registries alone',
    });
  }
  const input = Readable.from(source);
  input.on('error', error => decoder.destroy(error));
  try {
    for await (const chunk of input.pipe(decoder) as AsyncIterable<Buffer>) yield chunk;
  } catch (cause) {
    if (isStkError(cause) || !/^(Z_|ERR_)/.test(errnoOf(cause) ?? '')) throw cause;
    throw new StkError('registry', `${from} answered with broken ${coding}`, { cause });
  } finally {
    input.destroy();
    decoder.destroy();
  }
}
