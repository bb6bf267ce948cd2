import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { digestOf, type Digest } from '../../src/core/digest.ts';
import { FakeTokenServer, type FakeAuth } from './fake-registry-auth.ts';
import { Exchange } from './fake-registry-exchange.ts';
import { FailureQueue, type FailureRule } from './fake-registry-failures.ts';
import { FakeRegistryState } from './fake-registry-state.ts';

export interface FakeRegistryOptions {
  readonly auth?: FakeAuth;
  /** Blobs are served by the second server, through a redirect. */
  readonly redirectBlobs?: boolean;
  /** Upload locations are on the second server. */
  readonly redirectUploads?: boolean;
  readonly referrersApi?: boolean;
  /** Lists its repositories. */
  readonly catalog?: boolean;
  readonly pageSize?: number;
  /** How locations of uploads are written; default `absolute`. */
  readonly locations?: 'absolute' | 'relative' | 'query';
  readonly chunkMinLength?: number;
  /** Most bytes of a body written at once; default all. */
  readonly writeBytes?: number;
}

export interface RecordedRequest {
  /** The second server stands for another origin: a blob store and the token server. */
  readonly server: 'registry' | 'second';
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

/** An in-process registry over real HTTP that can be told to misbehave. */
export class FakeRegistry implements AsyncDisposable {
  readonly state = new FakeRegistryState();
  readonly requests: RecordedRequest[] = [];
  readonly tokens: FakeTokenServer;
  readonly #options: FakeRegistryOptions;
  readonly #failures = new FailureQueue();
  readonly #registry: Server;
  readonly #second: Server;

  private constructor(options: FakeRegistryOptions) {
    this.#options = options;
    this.tokens = new FakeTokenServer(options.auth ?? { kind: 'none' });
    this.#registry = createServer((request, response) => void this.#answer('registry', request, response));
    this.#second = createServer((request, response) => void this.#answer('second', request, response));
  }

  static async start(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
    const fake = new FakeRegistry(options);
    for (const server of [fake.#registry, fake.#second]) {
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    }
    return fake;
  }

  /** `127.0.0.1:port` */
  get host(): string {
    return `127.0.0.1:${(this.#registry.address() as AddressInfo).port}`;
  }

  get secondOrigin(): string {
    return `http://127.0.0.1:${(this.#second.address() as AddressInfo).port}`;
  }

  failNext(rule: FailureRule): void {
    this.#failures.add(rule);
  }

  /** From now on it behaves. */
  forgetFailures(): void {
    this.#failures.clear();
  }

  get pendingFailures(): number {
    return this.#failures.pending;
  }

  /** How many requests matched, as `METHOD /path?query`. */
  count(match: RegExp): number {
    return this.requests.filter(({ method, url }) => match.test(`${method} ${url}`)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.#registry, this.#second]) {
      if (!server.listening) continue;
      const closed = new Promise<void>(resolve => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    }
  }

  async #answer(server: 'registry' | 'second', request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {});
    request.on('error', () => {});
    const { method = '', url = '' } = request;
    this.requests.push({ server, method, url, headers: request.headers });
    const exchange = new Exchange(request, response, this.#failures.take(`${method} ${url}`), this.#options.writeBytes);
    try {
      if (await exchange.failEarly(this.host)) return;
      await this.#route(server, exchange);
    } catch {
      response.destroy();
    }
  }

  async #route(server: 'registry' | 'second', exchange: Exchange): Promise<void> {
    const { path, query, request, method } = exchange;
    if (path === '/token') {
      const form = new URLSearchParams(method === 'POST' ? (await exchange.body()).toString('utf8') : '');
      const { status, body } = this.tokens.answer(request, query, form);
      return exchange.send(status, { 'content-type': 'application/json' }, Buffer.from(body));
    }
    const [, repository = '', kind = '', rest = ''] =
      /^\/(?:v2|signed)\/(?:(.+)\/(blobs|manifests|tags|referrers)\/(.*))?$/.exec(path) ?? [];
    const isWrite = method !== 'GET' && method !== 'HEAD';
    const action = isWrite || rest.startsWith('uploads/') ? 'push' : 'pull';
    const challenge =
      server === 'registry'
        ? this.tokens.challenge(request, `${this.secondOrigin}/token`, repository, action)
        : undefined;
    if (challenge !== undefined) {
      request.resume();
      return exchange.send(401, { 'www-authenticate': challenge }, errorBody('UNAUTHORIZED'));
    }
    if (path === '/v2/') return exchange.send(200, {}, Buffer.from('{}'));
    if (path === '/v2/_catalog' && this.#options.catalog === true) {
      const body = Buffer.from(JSON.stringify({ repositories: this.state.repositories() }));
      return exchange.send(200, { 'content-type': 'application/json' }, body);
    }
    if (kind === 'blobs' && rest.startsWith('uploads/')) return this.#upload(exchange, repository, rest.slice(8));
    if (kind === 'blobs') return this.#blob(server, exchange, repository, rest);
    if (kind === 'manifests') return this.#manifest(exchange, repository, rest);
    if (kind === 'tags') return this.#tags(exchange, repository);
    if (kind === 'referrers' && this.#options.referrersApi !== false) {
      const manifests = this.state.referrers(repository, rest);
      const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests };
      return exchange.send(200, { 'content-type': index.mediaType }, Buffer.from(JSON.stringify(index)));
    }
    return exchange.send(404, { 'content-type': 'application/json' }, errorBody('NAME_UNKNOWN'));
  }

  #blob(server: 'registry' | 'second', exchange: Exchange, repository: string, digest: string): Promise<void> {
    const bytes = this.state.blob(repository, digest);
    if (!bytes) return exchange.send(404, { 'content-type': 'application/json' }, errorBody('BLOB_UNKNOWN'));
    if (this.#options.redirectBlobs === true && server === 'registry' && exchange.method === 'GET') {
      const location = `${this.secondOrigin}/signed/${repository}/blobs/${digest}?signature=secret`;
      return exchange.send(307, { location }, Buffer.alloc(0));
    }
    return exchange.sendRange(bytes, { 'content-type': 'application/octet-stream', 'docker-content-digest': digest });
  }

  async #upload(exchange: Exchange, repository: string, id: string): Promise<void> {
    const { query, method } = exchange;
    if (method === 'POST') {
      const bytes = this.state.blob(query.get('from') ?? '', query.get('mount') ?? '');
      if (bytes) {
        const digest = this.state.putBlob(repository, bytes);
        return exchange.send(201, { location: `/v2/${repository}/blobs/${digest}` }, Buffer.alloc(0));
      }
      return exchange.send(
        202,
        this.#uploadHeaders(this.state.openUpload(repository).id, 0, repository),
        Buffer.alloc(0),
      );
    }
    if (exchange.failure?.kind === 'lose-upload') this.state.uploads.delete(id);
    const upload = this.state.uploads.get(id);
    if (!upload) {
      exchange.request.resume();
      return exchange.send(404, { 'content-type': 'application/json' }, errorBody('BLOB_UPLOAD_UNKNOWN'));
    }
    if (method === 'GET') {
      return exchange.send(204, this.#uploadHeaders(id, upload.sizeBytes, repository), Buffer.alloc(0));
    }
    if (method === 'DELETE') {
      this.state.uploads.delete(id);
      return exchange.send(204, {}, Buffer.alloc(0));
    }
    const start = /^(\d+)-/.exec(exchange.request.headers['content-range'] ?? '')?.[1];
    if (start !== undefined && Number(start) !== upload.sizeBytes) {
      exchange.request.resume();
      return exchange.send(416, this.#uploadHeaders(id, upload.sizeBytes, repository), Buffer.alloc(0));
    }
    await exchange.readBody(chunk => {
      upload.chunks.push(chunk);
      upload.sizeBytes += chunk.byteLength;
    });
    if (method === 'PATCH') {
      return exchange.send(202, this.#uploadHeaders(id, upload.sizeBytes, repository), Buffer.alloc(0));
    }
    const bytes = Buffer.concat(upload.chunks);
    this.state.uploads.delete(id);
    if (digestOf(bytes) !== query.get('digest')) {
      return exchange.send(400, { 'content-type': 'application/json' }, errorBody('DIGEST_INVALID'));
    }
    const digest = this.state.putBlob(repository, bytes);
    return exchange.send(201, { 'docker-content-digest': digest }, Buffer.alloc(0));
  }

  #uploadHeaders(id: string, sizeBytes: number, repository: string): Record<string, string> {
    const { locations = 'absolute', redirectUploads, chunkMinLength } = this.#options;
    const path = `/v2/${repository}/blobs/uploads/${id}${locations === 'query' ? '?_state=a%2Fb%3D%3D' : ''}`;
    const origin = redirectUploads === true ? this.secondOrigin : locations === 'absolute' ? `http://${this.host}` : '';
    return {
      location: `${origin}${path}`,
      range: `0-${Math.max(0, sizeBytes - 1)}`,
      ...(chunkMinLength === undefined ? {} : { 'oci-chunk-min-length': String(chunkMinLength) }),
    };
  }

  async #manifest(exchange: Exchange, repository: string, reference: string): Promise<void> {
    if (exchange.method === 'PUT') {
      const bytes = await exchange.body();
      const mediaType = exchange.request.headers['content-type'] ?? '';
      const digest = this.state.putManifest(repository, reference, bytes, mediaType);
      const { subject } = JSON.parse(bytes.toString('utf8')) as { subject?: { digest: string } };
      const tracked = subject && this.#options.referrersApi !== false ? { 'oci-subject': subject.digest } : {};
      return exchange.send(201, { 'docker-content-digest': digest, ...tracked }, Buffer.alloc(0));
    }
    const found = this.state.manifest(repository, reference);
    if (!found) return exchange.send(404, { 'content-type': 'application/json' }, errorBody('MANIFEST_UNKNOWN'));
    return exchange.send(200, { 'content-type': found.mediaType, 'docker-content-digest': found.digest }, found.bytes);
  }

  #tags(exchange: Exchange, repository: string): Promise<void> {
    const tags = this.state.tags(repository);
    if (!tags) return exchange.send(404, { 'content-type': 'application/json' }, errorBody('NAME_UNKNOWN'));
    const from = tags.findIndex(tag => tag > (exchange.query.get('last') ?? ''));
    const pageSize = this.#options.pageSize ?? 100;
    const page = from < 0 ? [] : tags.slice(from, from + pageSize);
    const next = from >= 0 && from + pageSize < tags.length ? page.at(-1) : undefined;
    const link =
      next === undefined ? {} : { link: `</v2/${repository}/tags/list?n=${pageSize}&last=${next}>; rel="next"` };
    const body = Buffer.from(JSON.stringify({ name: repository, tags: page }));
    return exchange.send(200, { 'content-type': 'application/json', ...link }, body);
  }
}

function errorBody(code: string): Buffer {
  return Buffer.from(JSON.stringify({ errors: [{ code, message: `the fake says ${code.toLowerCase()}` }] }));
}

/** Shorthand for tests that keep digests. */
export function fakeBlob(
  fake: FakeRegistry,
  repository: string,
  bytes: Uint8Array,
): { digest: Digest; size: number; mediaType: string } {
  return {
    digest: fake.state.putBlob(repository, bytes),
    size: bytes.byteLength,
    mediaType: 'application/octet-stream',
  };
}
