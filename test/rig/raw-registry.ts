import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { buffer } from 'node:stream/consumers';
import { digestOf, type Digest } from '../../src/core/digest.ts';

export interface RawOptions {
  readonly host: string;
  /** PEM of the authority that the registry's certificate is from; without one, plain http. */
  readonly ca?: string | undefined;
  readonly login?: { readonly username: string; readonly password: string } | undefined;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** Talks to a registry in single requests, without any code of stk's: what it stored and sees is the other side's word. */
export class RawRegistry implements AsyncDisposable {
  readonly #options: RawOptions;
  readonly #agent: http.Agent;

  constructor(options: RawOptions) {
    this.#options = options;
    const { ca } = options;
    this.#agent = ca === undefined ? new http.Agent({ keepAlive: true }) : new https.Agent({ keepAlive: true, ca });
  }

  /** @param path below `/v2/`, or a URL that the registry named */
  async send(
    method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    headers: Readonly<Record<string, string>> = {},
    body?: Uint8Array,
  ): Promise<RawAnswer> {
    const { host, ca, login } = this.#options;
    const url = new URL(path, `${ca === undefined ? 'http' : 'https'}://${host}/v2/`);
    const pair = login && Buffer.from(`${login.username}:${login.password}`).toString('base64');
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const { request } = ca === undefined ? http : https;
      const authorization = pair === undefined ? {} : { authorization: `Basic ${pair}` };
      request(url, { method, agent: this.#agent, headers: { ...authorization, ...headers } }, resolve)
        .on('error', reject)
        .end(body && Buffer.from(body));
    });
    const bytes = await buffer(answer);
    const { location } = answer.headers;
    if (method === 'GET' && answer.statusCode === 307) return this.send(method, String(location), headers);
    return { status: answer.statusCode ?? 0, headers: answer.headers, body: bytes };
  }

  async putBlob(repository: string, bytes: Uint8Array): Promise<Digest> {
    const digest = digestOf(bytes);
    const { headers } = await this.send('POST', `${repository}/blobs/uploads/`);
    const location = String(headers['location']);
    const type = { 'content-type': 'application/octet-stream' };
    const { status } = await this.send(
      'PUT',
      `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`,
      type,
      bytes,
    );
    if (status !== 201) throw new Error(`the registry answered ${status} to a blob`);
    return digest;
  }

  async putManifest(repository: string, reference: string, document: object, type: string): Promise<Digest> {
    const bytes = Buffer.from(JSON.stringify(document));
    const { status } = await this.send('PUT', `${repository}/manifests/${reference}`, { 'content-type': type }, bytes);
    if (status !== 201) throw new Error(`the registry answered ${status} to a manifest`);
    return digestOf(bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
  }
}
