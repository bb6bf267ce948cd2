import type { IncomingMessage } from 'node:http';
import { contentCoding, decodeContent } from './content-coding.ts';
import { StkError } from '../core/errors.ts';
import { showUrl } from './http-url.ts';
import { WireError, timedOut, transportError, type RequestContext } from './transport-error.ts';

/** What is left of an unwanted body is read up to here to keep the connection; a longer one costs the connection. */
const DISCARD_BYTES = 64 * 1024;
/** Time for a body that is read as a whole. */
const WHOLE_BODY_MS = 120_000;

/** An answer. Its body must be read to the end or discarded, or the connection stays taken. */
export class HttpResponse {
  readonly status: number;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
  readonly #body: IncomingMessage;
  readonly #context: RequestContext;
  readonly #bodyTimeoutMs: number;

  /** @param bodyTimeoutMs longest silence within the body, while it is read */
  constructor(answer: IncomingMessage, context: RequestContext, bodyTimeoutMs: number) {
    this.status = answer.statusCode ?? 0;
    this.url = context.url;
    this.#body = answer;
    this.#context = context;
    this.#bodyTimeoutMs = bodyTimeoutMs;
    // A body that fails while nobody reads it must not end the process.
    answer.on('error', () => {});
  }

  /** A header by its lower-case name; repeated ones are joined with a comma. */
  header(name: string): string | undefined {
    const value = this.#body.headers[name];
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
    const body = this.#body;
    let isWaiting = true;
    const silence = setTimeout(() => {
      // A reader that takes its time is no silence.
      if (isWaiting) body.destroy(new WireError('BODY_TIMEOUT', `nothing came for ${this.#bodyTimeoutMs} ms`));
      else silence.refresh();
    }, this.#bodyTimeoutMs);
    try {
      patience?.heard();
      for await (const chunk of body as AsyncIterable<Buffer>) {
        patience?.hold();
        isWaiting = false;
        yield chunk;
        isWaiting = true;
        silence.refresh();
        patience?.heard();
      }
      patience?.hold();
    } catch (error) {
      throw transportError(error, this.#context);
    } finally {
      clearTimeout(silence);
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
    const deadline = setTimeout(() => this.#body.destroy(timedOut(this.#context)), WHOLE_BODY_MS);
    try {
      if (this.coding === undefined && (this.contentLength ?? 0) > maxBytes) throw tooLong(this.#context, maxBytes);
      for await (const chunk of this.stream()) {
        sizeBytes += chunk.byteLength;
        if (sizeBytes > maxBytes) throw tooLong(this.#context, maxBytes);
        chunks.push(chunk);
      }
    } catch (error) {
      this.#body.destroy();
      throw error;
    } finally {
      clearTimeout(deadline);
    }
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, sizeBytes);
  }

  /** Gives the connection back without reading a long body. Never throws. */
  async discard(): Promise<void> {
    const body = this.#body;
    if ((this.contentLength ?? 0) > DISCARD_BYTES && !body.complete) return void body.destroy();
    const deadline = setTimeout(() => body.destroy(), 2000);
    try {
      let left = DISCARD_BYTES;
      for await (const chunk of body as AsyncIterable<Buffer>) if ((left -= chunk.byteLength) < 0) break;
    } catch {
      // Nobody wants to know.
    } finally {
      clearTimeout(deadline);
    }
  }

  /** The beginning of a body as text, for messages. Never throws. */
  async excerpt(maxBytes: number): Promise<string> {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    const deadline = setTimeout(() => this.#body.destroy(), 5000);
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
