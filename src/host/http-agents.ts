import { Agent as HttpAgent, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { connect as connectTls, rootCertificates, type ConnectionOptions } from 'node:tls';
import { exchange, type Exchange, type Route } from './http-exchange.ts';
import { proxyFor, type Proxy, type ProxySettings } from './http-proxy.ts';
import { openTunnel } from './http-tunnel.ts';

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
  /** PEM certificates to trust besides the built-in ones, whatever server; asked for with the first request. */
  readonly extraRoots?: () => Promise<readonly string[]>;
}

/** The connection pools, made when first needed. */
export class HttpAgents implements AsyncDisposable {
  readonly #options: AgentOptions;
  readonly #pools = new Map<TlsSettings | undefined, Map<string, Route>>();
  #extraRoots: Promise<readonly string[]> | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  /** @param foreign the URL is of another origin than the one that the client certificate is for */
  async dispatch(request: Exchange, tls: TlsSettings | undefined, foreign: boolean): Promise<IncomingMessage> {
    const roots = await (this.#extraRoots ??= this.#options.extraRoots?.() ?? Promise.resolve([]));
    return exchange(request, this.#route(request.url, { tls, foreign, roots }));
  }

  #route(url: URL, wanted: Wanted): Route {
    const via = this.#options.proxy && proxyFor(url, this.#options.proxy);
    const key = JSON.stringify([wanted.foreign, url.protocol, via?.url.href, via?.authorization]);
    let pools = this.#pools.get(wanted.tls);
    if (!pools) this.#pools.set(wanted.tls, (pools = new Map()));
    let route = pools.get(key);
    if (!route) pools.set(key, (route = this.#open(url.protocol === 'https:', via, wanted)));
    return route;
  }

  #open(isTls: boolean, via: Proxy | undefined, { tls, foreign, roots }: Wanted): Route {
    const { connectTimeoutMs } = this.#options;
    const added = [...roots, ...(tls?.ca ?? [])];
    const trusted = (more: readonly string[]) => (more.length === 0 ? {} : { ca: [...rootCertificates, ...more] });
    const secure = {
      rejectUnauthorized: tls?.insecure !== true,
      ...trusted(added),
      ...(tls?.cert === undefined || foreign ? {} : { cert: tls.cert }),
      ...(tls?.key === undefined || foreign ? {} : { key: tls.key }),
    };
    // What is no https is asked of the proxy itself, as elsewhere: many tunnel to the port of https alone.
    if (via !== undefined && !isTls && via.url.protocol !== 'socks5:') {
      const agent =
        via.url.protocol === 'https:' ? new HttpsAgent({ keepAlive: true, ...trusted(roots) }) : plainAgent();
      return { agent, proxy: { url: via.url, authorization: via.authorization }, connectTimeoutMs };
    }
    const agent = isTls ? new HttpsAgent({ keepAlive: true, ...secure }) : plainAgent();
    if (via !== undefined) tunnelled(agent, via, { timeoutMs: connectTimeoutMs, ...trusted(roots) });
    return { agent, proxy: undefined, connectTimeoutMs };
  }

  /** Drops all connections, running requests included. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const byKey of this.#pools.values()) for (const { agent } of byKey.values()) agent.destroy();
    this.#pools.clear();
  }
}

interface Wanted {
  readonly tls: TlsSettings | undefined;
  readonly foreign: boolean;
  /** Certificates to trust besides the built-in ones. */
  readonly roots: readonly string[];
}

function plainAgent(): HttpAgent {
  return new HttpAgent({ keepAlive: true });
}

/** Has an agent make its connections through a proxy. */
function tunnelled(agent: HttpAgent, via: Proxy, options: Parameters<typeof openTunnel>[2]): void {
  const isTls = agent instanceof HttpsAgent;
  const open = async (wanted: ConnectionOptions) => {
    const socket = await openTunnel(via, { host: wanted.host!, port: Number(wanted.port) }, options);
    return isTls ? connectTls({ ...wanted, socket }) : socket;
  };
  // What an agent calls for a connection (http, "Class: http.Agent"); it may give the connection later.
  const made: Pick<HttpAgent, 'createConnection'> = {
    createConnection(wanted, onMade) {
      open(wanted as ConnectionOptions).then(
        socket => onMade?.(null, socket),
        (error: unknown) => onMade?.(error as Error, undefined as never),
      );
      return undefined;
    },
  };
  Object.assign(agent, made);
}
