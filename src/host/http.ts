import { throwIfAborted } from '../core/errors.ts';
import { HttpAgents, type AgentOptions, type TlsSettings } from './http-agents.ts';
import { proxyFor, type ProxySettings } from './http-proxy.ts';
import { HttpResponse } from './http-response.ts';
import { DEFAULT_RETRY, isTransientStatus, retryAfterMs, systemDelay } from './http-retry.ts';
import type { Delay, RetryPolicy } from './http-retry.ts';
import { badLocation, locationUrl, showUrl } from './http-url.ts';
import { Patience, type PatienceClock } from './patience.ts';
import { isTransient, isUnreachable, problemOf, transportError } from './transport-error.ts';

/** However little patience is left, one more try is given this long. */
const LEAST_WAIT_MS = 10_000;

export type HttpMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface HttpRequest {
  readonly method?: HttpMethod;
  readonly url: URL;
  /** Lower-case names. `authorization` goes to the URL's own origin only. */
  readonly headers?: Readonly<Record<string, string>>;
  /** A function, so that the body can be sent again after a dropped connection or a redirect. */
  readonly body?: Uint8Array | (() => AsyncIterable<Uint8Array>);
  readonly tls?: TlsSettings | undefined;
  /** Only its origin is shown the client certificate of `tls`; by default the URL. */
  readonly certificateFor?: URL | undefined;
  /** Send again after transient failures; default true. */
  readonly retry?: boolean;
  /** Of the transfer that the request belongs to; otherwise it has its own. */
  readonly patience?: Patience | undefined;
  /** How long its own patience lasts; default that of the client. */
  readonly patienceMs?: number | undefined;
  /** Default 5; 0 hands a redirect to the caller. */
  readonly maxRedirects?: number;
  /** Follow a redirect from https to http, or into this machine. */
  readonly allowUnsafeRedirects?: boolean;
  /** Longest wait for the answer's header, where the client's is too short. */
  readonly headersTimeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpClientOptions extends Partial<AgentOptions>, Partial<Timeouts> {
  readonly proxy?: ProxySettings;
  readonly userAgent?: string;
  readonly retry?: Partial<RetryPolicy>;
  /** Clocks and chance, replaceable for tests. */
  readonly delay?: Delay;
  readonly now?: () => number;
  readonly random?: () => number;
  /** Silence of a server after which `onQuiet` is told of it; default 20 s. */
  readonly quietMs?: number;
  readonly onQuiet?: (text: string) => void;
}

/**
 * The one way to speak HTTP. Answers of any status are returned; only a server that cannot be reached, a bad redirect
 * or an abort throws. Owns its connections.
 */
export class HttpClient implements AsyncDisposable, PatienceClock {
  readonly retry: RetryPolicy;
  readonly delay: Delay;
  readonly now: () => number;
  readonly random: () => number;
  readonly quietMs: number;
  readonly onQuiet: (text: string) => void;
  readonly #agents: HttpAgents;
  readonly #timeouts: Timeouts;
  /** Origins that anything was heard of. */
  readonly #heard = new Set<string>();
  readonly #userAgent: string;
  readonly #proxy: ProxySettings;

  constructor(options: HttpClientOptions = {}) {
    const { connectTimeoutMs = 20_000, headersTimeoutMs = 60_000, bodyTimeoutMs = 60_000 } = options;
    this.#timeouts = { headersTimeoutMs, bodyTimeoutMs };
    this.#agents = new HttpAgents({ ...options, connectTimeoutMs });
    this.#proxy = options.proxy ?? {};
    this.#userAgent = options.userAgent ?? 'stk';
    this.retry = { ...DEFAULT_RETRY, ...options.retry };
    this.delay = options.delay ?? systemDelay;
    this.now = options.now ?? Date.now;
    this.random = options.random ?? Math.random;
    this.quietMs = options.quietMs ?? 20_000;
    this.onQuiet = options.onQuiet ?? (() => {});
  }

  /** For a transfer of several requests; `what` is done, and where, for messages. */
  patience(what: string, patienceMs?: number): Patience {
    return new Patience(this, what, Math.min(patienceMs ?? Number.POSITIVE_INFINITY, this.retry.patienceMs));
  }

  async request(request: HttpRequest): Promise<HttpResponse> {
    const { method = 'GET', url, signal } = request;
    const patience = request.patience ?? this.patience(`${method} ${showUrl(url)}`, request.patienceMs);
    try {
      for (;;) {
        throwIfAborted(signal);
        const pauseMs = await this.#try(request, patience);
        if (typeof pauseMs !== 'number') return pauseMs;
        await patience.pause(pauseMs, signal);
      }
    } finally {
      patience.hold();
    }
  }

  /** An answer to hand over, or the pause before the next try. */
  async #try(request: HttpRequest, patience: Patience): Promise<HttpResponse | number> {
    const { retry = true, url } = request;
    const withinMs = this.#heard.has(url.origin) ? Number.POSITIVE_INFINITY : this.retry.firstContactMs;
    try {
      const response = await this.#follow(request, patience);
      this.#heard.add(url.origin);
      const { status } = response;
      if (!isTransientStatus(status)) patience.heard();
      else if (retry) {
        const askedMs = retryAfterMs(response.header('retry-after'), this.retry, this.now());
        const pauseMs = patience.next(`it answers ${status}`, { askedMs });
        if (pauseMs === undefined) return response;
        await response.discard();
        return pauseMs;
      }
      return response;
    } catch (error) {
      if (!retry || !isTransient(error)) throw error;
      const pauseMs = patience.next(problemOf(error), isUnreachable(error) ? { withinMs } : {});
      if (pauseMs === undefined) throw patience.over(error);
      return pauseMs;
    }
  }

  async #follow(request: HttpRequest, patience: Patience): Promise<HttpResponse> {
    const maxRedirects = request.maxRedirects ?? 5;
    const { method = 'GET', body } = request;
    let { url } = request;
    let headers: Record<string, string> = {
      'user-agent': this.#userAgent,
      'accept-encoding': 'identity',
      ...request.headers,
    };
    for (let redirects = 0; ; redirects++) {
      const response = await this.#send(request, { method, url, headers, body, patience });
      const next =
        maxRedirects === 0 ? undefined : redirectTarget(response, method, request.allowUnsafeRedirects === true);
      if (!next) return response;
      await response.discard();
      if (redirects >= maxRedirects) throw badLocation(url, `more than ${maxRedirects} redirects`);
      if (next.origin !== url.origin) {
        const { authorization: _authorization, cookie: _cookie, ...rest } = headers;
        headers = rest;
      }
      url = next;
    }
  }

  async #send(request: HttpRequest, hop: Hop): Promise<HttpResponse> {
    const { method, url, headers, patience } = hop;
    const context = { method, url, via: proxyFor(url, this.#proxy)?.shown, patience, signal: request.signal };
    const { headersTimeoutMs, bodyTimeoutMs } = this.#timeouts;
    const mostMs = Math.max(LEAST_WAIT_MS, patience.leftMs);
    const isForeign = url.origin !== (request.certificateFor ?? request.url).origin;
    let sourceFailure: { error: unknown } | undefined;
    const body =
      typeof hop.body === 'function' ? watched(hop.body, patience, error => (sourceFailure = { error })) : hop.body;
    try {
      const waitMs = request.headersTimeoutMs ?? Math.min(headersTimeoutMs, mostMs);
      const exchange = { url, method, headers, body, headersTimeoutMs: waitMs, signal: request.signal };
      const answer = await this.#agents.dispatch(exchange, request.tls, isForeign);
      return new HttpResponse(answer, context, Math.min(bodyTimeoutMs, mostMs));
    } catch (error) {
      if (sourceFailure && request.signal?.aborted !== true) throw sourceFailure.error;
      throw transportError(error, context);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agents[Symbol.asyncDispose]();
  }
}

/** Where one of the requests goes that an answer takes. */
interface Hop {
  readonly method: HttpMethod;
  readonly url: URL;
  readonly headers: Record<string, string>;
  readonly body: HttpRequest['body'] | undefined;
  readonly patience: Patience;
}

interface Timeouts {
  /** Longest silence before an answer's header, and between two pieces of a request's body. */
  readonly headersTimeoutMs: number;
  /** Longest silence within a body. */
  readonly bodyTimeoutMs: number;
}

/** Tells a source that failed from a connection that did, and waiting for the one from waiting for the other. */
async function* watched(
  source: () => AsyncIterable<Uint8Array>,
  patience: Patience,
  onError: (error: unknown) => void,
): AsyncGenerator<Uint8Array> {
  try {
    patience.hold();
    for await (const piece of source()) {
      patience.heard();
      yield piece;
      patience.hold();
    }
    patience.heard();
  } catch (error) {
    onError(error);
    throw error;
  }
}

/** RFC 9110, section 15.4: only 307 and 308 keep a method that changes something, so only they are followed for those. */
function redirectTarget(response: HttpResponse, method: HttpMethod, allowUnsafe: boolean): URL | undefined {
  const safe = method === 'GET' || method === 'HEAD';
  const follow = safe ? [301, 302, 303, 307, 308] : [307, 308];
  const location = response.header('location');
  if (!follow.includes(response.status) || location === undefined) return undefined;
  return locationUrl(response.url, location, allowUnsafe);
}
