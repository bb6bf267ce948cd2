import { setFlagsFromString } from 'node:v8';
import { rootCertificates } from 'node:tls';
import type { Dispatcher } from 'undici';
import { isLoopbackHost } from './http-url.ts';

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

/** Proxies as the usual environment variables name them. Loopback hosts are never reached through one. */
export interface ProxySettings {
  readonly httpProxy?: string;
  readonly httpsProxy?: string;
  /** Comma-separated host suffixes that are reached directly. */
  readonly noProxy?: string;
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
    const proxied = this.#options.proxy !== undefined && !isLoopbackHost(url.hostname);
    const via = proxied ? this.#proxyFor(url) : undefined;
    const key = `${foreign ? 'foreign' : 'own'} ${via ?? ''}`;
    let pools = this.#pools.get(tls);
    if (!pools) this.#pools.set(tls, (pools = new Map()));
    let pool = pools.get(key);
    if (!pool) pools.set(key, (pool = this.#open(undici, tls, via, foreign)));
    return pool;
  }

  /** Each scheme has a proxy of its own, as elsewhere; undici alone would send https through the one for http. */
  #proxyFor(url: URL): string | undefined {
    const { httpProxy, httpsProxy } = this.#options.proxy ?? {};
    return (url.protocol === 'https:' ? httpsProxy : httpProxy) || undefined;
  }

  #open(undici: Undici, tls: TlsSettings | undefined, via: string | undefined, foreign: boolean): Dispatcher {
    const { connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs, proxy } = this.#options;
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
    // Nothing is left undefined, because then undici would look into the process's environment.
    return new undici.EnvHttpProxyAgent({
      ...options,
      requestTls: connect,
      httpProxy: via,
      httpsProxy: via,
      noProxy: proxy?.noProxy ?? '',
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
