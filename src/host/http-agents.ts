import { setFlagsFromString } from 'node:v8';
import { rootCertificates } from 'node:tls';
import type { Dispatcher } from 'undici';
import { proxyFor, type Proxy, type ProxySettings } from './http-proxy.ts';

/** How to speak TLS with one server. Identity of the object is what connections are pooled by: make it once. */
export interface TlsSettings {
  /** PEM certificates trusted besides the built-in ones. */
  readonly ca?: readonly string[];
  /** PEM client certificate and key; shown to one origin only, see `HttpRequest.certificateFor`. */
  readonly cert?: string;
  readonly key?: string;
  /** Accept any certificate. */
  readonly insecure?: boolean;
}

export interface AgentOptions {
  readonly proxy?: ProxySettings;
  readonly connectTimeoutMs: number;
  /** Longest silence before an answer's header, and between two pieces of a request's body. */
  readonly headersTimeoutMs: number;
  /** PEM certificates to trust besides the built-in ones, whatever server; asked for with the first request. */
  readonly extraRoots?: () => Promise<readonly string[]>;
  /** Longest silence within a body. */
  readonly bodyTimeoutMs: number;
}

type Undici = typeof import('undici');

const MAX_HEADER_BYTES = 64 * 1024;

/**
 * The connection pools, made when first needed; undici itself is loaded with the first request, because loading it
 * costs more than many a command takes.
 */
export class HttpAgents implements AsyncDisposable {
  readonly #options: AgentOptions;
  readonly #pools = new Map<TlsSettings | undefined, Map<string, Dispatcher>>();
  #undici: Promise<Undici> | undefined;
  #extraRoots: readonly string[] = [];

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  /** @param foreign the URL is of another origin than the one that the client certificate is for */
  async dispatch(
    url: URL,
    tls: TlsSettings | undefined,
    foreign: boolean,
    request: Omit<Dispatcher.RequestOptions, 'origin' | 'path'>,
  ): Promise<Dispatcher.ResponseData> {
    const undici = await (this.#undici ??= this.#load());
    return undici.request(url, { ...request, dispatcher: this.#pool(undici, url, tls, foreign) });
  }

  async #load(): Promise<Undici> {
    const [undici, roots] = await Promise.all([loadUndici(), this.#options.extraRoots?.()]);
    this.#extraRoots = roots ?? [];
    return undici;
  }

  #pool(undici: Undici, url: URL, tls: TlsSettings | undefined, foreign: boolean): Dispatcher {
    const via = this.#options.proxy && proxyFor(url, this.#options.proxy);
    const key = `${foreign ? 'foreign' : 'own'} ${via === undefined ? '' : JSON.stringify([via.url.href, via.authorization])}`;
    let pools = this.#pools.get(tls);
    if (!pools) this.#pools.set(tls, (pools = new Map()));
    let pool = pools.get(key);
    if (!pool) pools.set(key, (pool = this.#open(undici, tls, via, foreign)));
    return pool;
  }

  #open(undici: Undici, tls: TlsSettings | undefined, via: Proxy | undefined, foreign: boolean): Dispatcher {
    const { connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs } = this.#options;
    const added = [...this.#extraRoots, ...(tls?.ca ?? [])];
    const connect = {
      timeout: connectTimeoutMs,
      rejectUnauthorized: tls?.insecure !== true,
      ...(added.length === 0 ? {} : { ca: [...rootCertificates, ...added] }),
      ...(tls?.cert === undefined || foreign ? {} : { cert: tls.cert }),
      ...(tls?.key === undefined || foreign ? {} : { key: tls.key }),
    };
    const options = {
      connect,
      headersTimeout: headersTimeoutMs,
      bodyTimeout: bodyTimeoutMs,
      maxHeaderSize: MAX_HEADER_BYTES,
    };
    if (via === undefined) return new undici.Agent(options);
    const { url, login, authorization } = via;
    return new undici.ProxyAgent({
      ...options,
      requestTls: connect,
      uri: url.href,
      // What is no https is asked of the proxy itself, as elsewhere: many tunnel to the port of https alone.
      proxyTunnel: false,
      ...(url.protocol === 'socks5:' ? login : { proxyTls: { timeout: connectTimeoutMs } }),
      ...(authorization === undefined || url.protocol === 'socks5:' ? {} : { token: authorization }),
    });
  }

  /** Drops all connections, running requests included. */
  async [Symbol.asyncDispose](): Promise<void> {
    const pools = [...this.#pools.values()].flatMap(byKey => [...byKey.values()]);
    this.#pools.clear();
    await Promise.all(pools.map(pool => pool.destroy()));
  }
}

/** A bundle gives a CommonJS package a default export only. */
async function loadUndici(): Promise<Undici> {
  // Its header parser is WebAssembly, which V8 would go on optimising while a short command wants to end: 0.14 s here.
  setFlagsFromString('--liftoff-only');
  const module = await import('undici');
  return module.default ?? module;
}
