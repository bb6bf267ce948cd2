import type { IncomingMessage, ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import type { Failure } from './fake-registry-failures.ts';

/** One request, its answer, and what shall go wrong with it. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly failure: Failure | undefined;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly #response: ServerResponse;
  readonly #writeBytes: number | undefined;

  constructor(request: IncomingMessage, response: ServerResponse, failure: Failure | undefined, writeBytes?: number) {
    const url = new URL(request.url ?? '/', 'http://fake');
    this.request = request;
    this.failure = failure;
    this.method = request.method ?? '';
    this.path = url.pathname;
    this.query = url.searchParams;
    this.#response = response;
    this.#writeBytes = writeBytes;
  }

  /** Failures that need no knowledge of the right answer. */
  async failEarly(host: string): Promise<boolean> {
    const { failure } = this;
    if (failure?.kind === 'status') {
      this.request.resume();
      this.#response.writeHead(failure.status, failure.headers).end(failure.body ?? '');
    } else if (failure?.kind === 'html') {
      this.#response
        .writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
        .end('<html>Welcome to the hotel</html>');
    } else if (failure?.kind === 'redirect-loop') {
      this.#response.writeHead(307, { location: `http://${host}${this.request.url}` }).end();
    } else if (failure?.kind === 'redirect') {
      this.#response.writeHead(failure.status ?? 307, { location: failure.location }).end();
    } else if (failure?.kind !== 'hang') return false;
    return true;
  }

  async body(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    await this.readBody(chunk => chunks.push(chunk));
    return Buffer.concat(chunks);
  }

  async readBody(take: (chunk: Buffer) => void): Promise<void> {
    let left = this.failure?.kind === 'drop' ? this.failure.afterBytes : Number.POSITIVE_INFINITY;
    for await (const chunk of this.request as AsyncIterable<Buffer>) {
      take(chunk.subarray(0, left));
      left -= Math.min(left, chunk.byteLength);
      if (left > 0) continue;
      this.request.socket.destroy();
      throw new Error('dropped');
    }
  }

  async sendRange(bytes: Buffer, headers: Record<string, string>): Promise<void> {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(this.request.headers.range ?? '') ?? [];
    const isWhole = this.failure?.kind === 'ignore-range' || this.failure?.kind === 'gzip';
    if (first === undefined || isWhole) return this.send(200, headers, bytes);
    const from = Number(first);
    const to = last === '' || last === undefined ? bytes.byteLength - 1 : Math.min(Number(last), bytes.byteLength - 1);
    if (from > to) return this.send(416, { 'content-range': `bytes */${bytes.byteLength}` }, Buffer.alloc(0));
    const range = { 'content-range': `bytes ${from}-${to}/${bytes.byteLength}` };
    return this.send(206, { ...headers, ...range }, bytes.subarray(from, to + 1));
  }

  async send(status: number, headers: Readonly<Record<string, string>>, body: Buffer): Promise<void> {
    const { failure } = this;
    if (failure?.kind === 'drop-answer') return void this.request.socket.destroy();
    let sent = body;
    const all: Record<string, string | undefined> = { ...headers, 'content-length': String(body.byteLength) };
    if (failure?.kind === 'wrong-bytes') sent = Buffer.alloc(body.byteLength, 0x21);
    if (failure?.kind === 'truncate') {
      sent = body.subarray(0, failure.toBytes);
      all['content-length'] = failure.chunked === true ? undefined : String(sent.byteLength);
    }
    if (failure?.kind === 'overlong') {
      sent = Buffer.concat([body, Buffer.alloc(failure.extraBytes)]);
      all['content-length'] = undefined;
    }
    let answered = status;
    if (failure?.kind === 'headers') {
      Object.assign(all, failure.headers);
      answered = failure.status ?? status;
    }
    if (failure?.kind === 'gzip' && status < 300) {
      sent = gzipSync(body);
      all['content-encoding'] = 'gzip';
      all['content-length'] = failure.chunked === true ? undefined : String(sent.byteLength);
    }
    if (answered === 204) delete all['content-length'];
    const present = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined);
    this.#response.writeHead(answered, Object.fromEntries(present));
    if (this.method === 'HEAD') return void this.#response.end();
    if (failure?.kind === 'drop') {
      await this.#write(sent.subarray(0, failure.afterBytes));
      return void this.request.socket.destroy();
    }
    await this.#write(sent);
    this.#response.end();
  }

  async #write(bytes: Buffer): Promise<void> {
    const step = this.#writeBytes ?? Math.max(1, bytes.byteLength);
    this.#response.flushHeaders();
    for (let at = 0; at < bytes.byteLength; at += step) {
      await new Promise<void>((resolve, reject) => {
        this.#response.write(bytes.subarray(at, at + step), error => (error ? reject(error) : resolve()));
      });
    }
  }
}
