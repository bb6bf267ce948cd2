import { throwIfAborted } from '../core/errors.ts';
import { HttpAgents, type AgentOptions, type TlsSettings } from './http-agents.ts';
import { proxyFor, type ProxySettings } from './http-proxy.ts';
import { HttpResponse, isTransient, transportError } from './http-response.ts';
import { DEFAULT_RETRY, backoffMs, isTransientStatus, retryAfterMs, systemDelay } from './http-retry.ts';
import type { Delay, RetryPolicy } from './http-retry.ts';
import { badLocation, locationUrl } from './http-url.ts';

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
  /** Default 5; 0 hands a redirect to the caller. */
  readonly maxRedirects?: number;
  /** Follow a redirect from https to http, or into this machine. */
  readonly allowUnsafeRedirects?: boolean;
  /** Longest wait for the answer's header, where the client's is too short. */
  readonly headersTimeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpClientOptions extends Partial<AgentOptions> {
  readonly proxy?: ProxySettings;
  readonly userAgent?: string;
  readonly retry?: Partial<RetryPolicy>;
  /** Clocks and chance, replaceable for tests. */
  readonly delay?: Delay;
  readonly now?: () => number;
  readonly random?: () => number;
}

/**
 * The one way to speak HTTP. Answers of any status are returned; only a server that cannot be reached, a bad redirect
 * or an abort throws. Owns its connections.
 */
export class HttpClient implements AsyncDisposable {
  readonly retry: RetryPolicy;
  readonly delay: Delay;
  readonly now: () => number;
  readonly random: () => number;
  readonly #agents: HttpAgents;
  readonly #userAgent: string;
  readonly #proxy: ProxySettings;

  constructor(options: HttpClientOptions = {}) {
    const { connectTimeoutMs = 20_000, headersTimeoutMs = 60_000, bodyTimeoutMs = 60_000 } = options;
    this.#agents = new HttpAgents({ ...options, connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs });
    this.#proxy = options.proxy ?? {};
    this.#userAgent = options.userAgent ?? 'stk';
    this.retry = { ...DEFAULT_RETRY, ...options.retry };
    this.delay = options.delay ?? systemDelay;
    this.now = options.now ?? Date.now;
    this.random = options.random ?? Math.random;
  }

  /** Waits before another attempt after so many failures in a row. */
  async backOff(failures: number, signal?: AbortSignal): Promise<void> {
    await this.delay(backoffMs(this.retry, failures, this.random()), signal);
  }

  async request(request: HttpRequest): Promise<HttpResponse> {
    const attempts = request.retry === false ? 1 : this.retry.attempts;
    for (let attempt = 1; ; attempt++) {
      throwIfAborted(request.signal);
      try {
        const response = await this.#follow(request);
        if (attempt >= attempts || !isTransientStatus(response.status)) return response;
        const asked = retryAfterMs(response.header('retry-after'), this.retry, this.now());
        await response.discard();
        if (asked === undefined) await this.backOff(attempt, request.signal);
        else await this.delay(asked, request.signal);
      } catch (error) {
        if (attempt >= attempts || !isTransient(error)) throw error;
        await this.backOff(attempt, request.signal);
      }
    }
  }

  async #follow(request: HttpRequest): Promise<HttpResponse> {
    const maxRedirects = request.maxRedirects ?? 5;
    const { method = 'GET', body } = request;
    let { url } = request;
    let headers: Record<string, string> = {
      'user-agent': this.#userAgent,
      'accept-encoding': 'identity',
      ...request.headers,
    };
    for (let redirects = 0; ; redirects++) {
      const response = await this.#send(request, { method, url, headers, body });
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

  async #send(
    request: HttpRequest,
    hop: { method: HttpMethod; url: URL; headers: Record<string, string>; body: HttpRequest['body'] },
  ): Promise<HttpResponse> {
    const { method, url, headers } = hop;
    const context = { method, url, via: proxyFor(url, this.#proxy)?.shown, signal: request.signal };
    const isForeign = url.origin !== (request.certificateFor ?? request.url).origin;
    let sourceFailure: { error: unknown } | undefined;
    const body = typeof hop.body === 'function' ? watched(hop.body, error => (sourceFailure = { error })) : hop.body;
    try {
      const data = await this.#agents.dispatch(url, request.tls, isForeign, {
        method,
        headers,
        ...(body === undefined ? {} : { body: body as Uint8Array }),
        ...(request.signal ? { signal: request.signal } : {}),
        ...(request.headersTimeoutMs === undefined ? {} : { headersTimeout: request.headersTimeoutMs }),
      });
      return new HttpResponse(data, context);
    } catch (error) {
      if (sourceFailure && request.signal?.aborted !== true) throw sourceFailure.error;
      throw transportError(error, context);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agents[Symbol.asyncDispose]();
  }
}

/** Tells a source that failed from a connection that did. */
async function* watched(
  source: () => AsyncIterable<Uint8Array>,
  onError: (error: unknown) => void,
): AsyncGenerator<Uint8Array> {
  try {
    yield* source();
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
