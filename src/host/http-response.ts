import type { Dispatcher } from 'undici';
import { contentCoding, decodeContent } from './content-coding.ts';
import { StkError } from '../core/errors.ts';
import { showUrl } from './http-url.ts';
import { timedOut, transportError, type RequestContext } from './transport-error.ts';

/** What is left of an unwanted body is read up to here to keep the connection; a longer one costs the connection. */
const DISCARD_BYTES = 64 * 1024;
/** Time for a body that is read as a whole. */
const WHOLE_BODY_MS = 120_000;

/** An answer. Its body must be read to the end or discarded, or the connection stays taken. */
export class HttpResponse {
  readonly status: number;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
  readonly #data: Dispatcher.ResponseData;
  readonly #context: RequestContext;

  constructor(data: Dispatcher.ResponseData, context: RequestContext) {
    this.status = data.statusCode;
    this.url = context.url;
    this.#data = data;
    this.#context = context;
    // A body that fails while nobody reads it must not end the process.
    data.body.on('error', () => {});
  }

  /** A header by its lower-case name; repeated ones are joined with a comma. */
  header(name: string): string | undefined {
    const value = this.#data.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  /** Content-Length, if it is a sane number. */
  get contentLength(): number | undefined {
    const text = this.header('content-length');
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }

  /** How the body is coded although nobody asked for it (RFC 9110, section 8.4); `undefined` for as it is. */
  get coding(): string | undefined {
    return contentCoding(this.header('content-encoding'));
  }

  /** Whether the status says that the request succeeded. */
  get isSuccess(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  /** The body in pieces as it was sent, coded or not; each belongs to the reader. A dropped connection is `network`. */
  async *rawStream(): AsyncGenerator<Buffer, void, undefined> {
    const { patience } = this.#context;
    try {
      patience?.heard();
      for await (const chunk of this.#data.body as AsyncIterable<Buffer>) {
        patience?.hold();
        yield chunk;
        patience?.heard();
      }
      patience?.hold();
    } catch (error) {
      throw transportError(error, this.#context);
    }
  }

  /** The body in pieces, decoded. As `rawStream`; a coding that is not known, or content that is broken, is `registry`. */
  async *stream(): AsyncGenerator<Buffer, void, undefined> {
    const { coding } = this;
    if (coding === undefined) yield* this.rawStream();
    else yield* decodeContent(this.rawStream(), coding, showUrl(this.url));
  }

  /** The whole body, `registry` if it is longer than `maxBytes`. */
  async bytes(maxBytes: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    const deadline = setTimeout(() => this.#data.body.destroy(timedOut(this.#context)), WHOLE_BODY_MS);
    try {
      if (this.coding === undefined && (this.contentLength ?? 0) > maxBytes) throw tooLong(this.#context, maxBytes);
      for await (const chunk of this.stream()) {
        sizeBytes += chunk.byteLength;
        if (sizeBytes > maxBytes) throw tooLong(this.#context, maxBytes);
        chunks.push(chunk);
      }
    } catch (error) {
      this.#data.body.destroy();
      throw error;
    } finally {
      clearTimeout(deadline);
    }
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, sizeBytes);
  }

  /** Gives the connection back without reading a long body. Never throws. */
  async discard(): Promise<void> {
    const deadline = setTimeout(() => this.#data.body.destroy(), 2000);
    await this.#data.body.dump({ limit: DISCARD_BYTES }).catch(() => {});
    clearTimeout(deadline);
  }

  /** The beginning of a body as text, for messages. Never throws. */
  async excerpt(maxBytes: number): Promise<string> {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    const deadline = setTimeout(() => this.#data.body.destroy(), 5000);
    try {
      for await (const chunk of this.stream()) {
        chunks.push(chunk);
        sizeBytes += chunk.byteLength;
        if (sizeBytes >= maxBytes) break;
      }
    } catch {
      // What arrived is all there is to say.
    } finally {
      clearTimeout(deadline);
    }
    return Buffer.concat(chunks).subarray(0, maxBytes).toString('utf8');
  }
}

function tooLong(context: RequestContext, maxBytes: number): StkError {
  return new StkError(
    'registry',
    `${context.method} ${showUrl(context.url)}: the answer is longer than ${maxBytes} bytes`,
    {
      facts: { url: showUrl(context.url), maxBytes },
    },
  );
}
