import { StkError, isStkError } from '../core/errors.ts';
import type { TlsSettings } from '../host/http-agents.ts';
import type { HttpResponse } from '../host/http-response.ts';
import { isCertificateError } from '../host/transport-error.ts';
import type { HttpClient, HttpMethod, HttpRequest } from '../host/http.ts';
import { isLoopbackHost, locationUrl, showUrl } from '../host/http-url.ts';
import { connectionHost, type RegistryHost, type RepositoryName } from '../oci/reference.ts';
import { parseChallenges, type Challenge } from './challenge.ts';
import { basicAuthorization, type Credentials } from './credentials.ts';
import { TokenSource, challengeScopes, trustedRealm, type TokenRealm } from './tokens.ts';

export type Access = 'pull' | 'push';

export interface SessionOptions {
  /** Not owned: shared by all registries of a process. */
  readonly client: HttpClient;
  readonly host: RegistryHost;
  /** Left out where only the registry as a whole is asked. */
  readonly repository?: RepositoryName | undefined;
  readonly credentials?: Credentials | undefined;
  readonly tls?: TlsSettings | undefined;
  /** Accept any certificate, and plain http where https is not spoken. */
  readonly insecure?: boolean;
}

export interface RegistryRequest extends Pick<
  HttpRequest,
  'headers' | 'body' | 'retry' | 'patience' | 'patienceMs' | 'headersTimeoutMs' | 'signal'
> {
  readonly method?: HttpMethod;
  /** Below `/v2/<repository>/`, or a URL that the registry named. */
  readonly target: string | URL;
  readonly access: Access;
  /** Another repository that the request reads from. */
  readonly alsoPull?: RepositoryName | undefined;
}

type Login = { readonly kind: 'none' | 'basic' } | { readonly kind: 'bearer'; readonly realm: TokenRealm };

/**
 * Requests to one repository, authorised as the registry asks. `Authorization` goes to the registry's own origin and,
 * as a password, to its token server, to nobody else; a client certificate to the origin alone.
 */
export class RegistrySession {
  readonly client: HttpClient;
  readonly repository: RepositoryName | undefined;
  readonly host: RegistryHost;
  /** Whether what the registry names may be plain http. */
  readonly insecure: boolean;
  readonly #credentials: Credentials | undefined;
  readonly #tls: TlsSettings | undefined;
  readonly #tokens: TokenSource;
  #origin: URL | undefined;
  #login: Login = { kind: 'none' };
  #extraScopes: readonly string[] = [];

  constructor(options: SessionOptions) {
    this.client = options.client;
    this.repository = options.repository;
    this.host = options.host;
    this.insecure = options.insecure === true;
    this.#credentials = options.credentials;
    this.#tls = this.insecure ? { ...options.tls, insecure: true } : options.tls;
    this.#tokens = new TokenSource({ client: this.client, credentials: this.#credentials, tls: this.#tls });
  }

  /**
   * Sends a request, answering one challenge or replacing one token that has expired. Any status but the registry's own
   * 401 is returned; that is `unauthorized`.
   */
  async send(request: RegistryRequest): Promise<HttpResponse> {
    const origin = await this.#findOrigin(request.signal);
    const { target, access, alsoPull, headers, ...rest } = request;
    const url = typeof target === 'string' ? new URL(this.#path(target), origin) : target;
    const isOwn = url.origin === origin.origin;
    for (let refused = 0; ; refused++) {
      const authorization = isOwn ? await this.#authorization(access, alsoPull, request.signal) : undefined;
      const response = await this.client.request({
        ...rest,
        url,
        headers: { ...headers, ...(authorization === undefined ? {} : { authorization }) },
        tls: this.#tls,
        certificateFor: origin,
        allowUnsafeRedirects: this.insecure,
      });
      if (response.status !== 401 || response.url.origin !== origin.origin) return response;
      await response.discard();
      if (authorization?.startsWith('Bearer ')) this.#tokens.forget(authorization.slice('Bearer '.length));
      if (refused > 0) throw this.#refused('refused the login that it asked for');
      this.#learn(response.header('www-authenticate'), origin);
    }
  }

  /** Asks whether the registry is there and accepts the credentials. Throws `unauthorized`, `network` or `registry`. */
  async ping(signal?: AbortSignal): Promise<void> {
    const origin = await this.#findOrigin(signal);
    const response = await this.send({ target: new URL('/v2/', origin), access: 'pull', signal });
    await response.discard();
    if (response.status === 200) return;
    if (response.status === 403) throw this.#refused('refused the login');
    throw new StkError('registry', `${showUrl(origin)} is no registry: /v2/ answered ${response.status}`);
  }

  /** Where the registry lists its repositories; an extension of most, no part of the specification. */
  async catalogUrl(signal?: AbortSignal): Promise<URL> {
    return new URL('/v2/_catalog', await this.#findOrigin(signal));
  }

  /** Resolves what a response of the registry names in a Location header. */
  locate(response: HttpResponse): URL {
    const location = response.header('location');
    if (location === undefined) throw new StkError('registry', `${showUrl(response.url)} answered without a Location`);
    return locationUrl(response.url, location, this.insecure);
  }

  /** Whether an answer came from somewhere else than the registry's own path for this target. */
  wasRedirected(response: HttpResponse, target: string): boolean {
    return response.url.href !== new URL(this.#path(target), this.#origin).href;
  }

  async #authorization(
    access: Access,
    alsoPull: RepositoryName | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const login = this.#login;
    if (login.kind === 'basic') {
      return this.#credentials?.kind === 'password' ? basicAuthorization(this.#credentials) : undefined;
    }
    if (login.kind !== 'bearer') return undefined;
    const scopes = (actions: string) => [
      ...new Set([
        ...(this.repository === undefined ? [] : [`repository:${this.repository}:${actions}`]),
        ...this.#extraScopes,
        ...(alsoPull === undefined ? [] : [`repository:${alsoPull}:pull`]),
      ]),
    ];
    const push = scopes('pull,push');
    // Who may push may pull: one token serves both.
    const known = access === 'pull' ? this.#tokens.known(login.realm, push) : undefined;
    const wanted = access === 'push' ? push : scopes('pull');
    return `Bearer ${known ?? (await this.#tokens.token(login.realm, wanted, signal))}`;
  }

  #learn(header: string | undefined, origin: URL): void {
    const challenges = parseChallenges(header);
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer) {
      this.#login = { kind: 'bearer', realm: trustedRealm(bearer, origin) };
      this.#extraScopes = this.#foreignScopes(bearer);
      return;
    }
    // A registry that forgets to repeat its challenge when a token has expired.
    if (challenges.length === 0 && this.#login.kind !== 'none') return;
    if (!challenges.some(({ scheme }) => scheme === 'basic')) {
      throw this.#refused('asks for a login in no way that stk knows', 'only Basic and Bearer are understood');
    }
    if (this.#credentials?.kind !== 'password') throw this.#refused('asks for a user name and a password');
    this.#login = { kind: 'basic' };
  }

  #path(target: string): string {
    if (this.repository === undefined) throw new Error(`no repository to ask for ${target}`);
    return `/v2/${this.repository}/${target}`;
  }

  /**
   * A caching proxy may know the repository by another name than its path; nothing but reading is asked for there. The list of
   * repositories has a scope of its own.
   */
  #foreignScopes(challenge: Challenge): readonly string[] {
    const prefix = `repository:${this.repository}:`;
    return challengeScopes(challenge).filter(
      scope => !scope.startsWith(prefix) && /^(?:repository:[^:]+:pull|registry:catalog:\*)$/.test(scope),
    );
  }

  #refused(what: string, hint = 'check the login for it: stk login'): StkError {
    return new StkError('unauthorized', `${this.host} ${what}`, { hint, facts: { host: this.host } });
  }

  /** https, except that hosts of this machine and those allowed to be insecure may answer plain http only. */
  async #findOrigin(signal: AbortSignal | undefined): Promise<URL> {
    if (this.#origin) return this.#origin;
    const secure = new URL(`https://${connectionHost(this.host)}`);
    this.#origin = this.insecure || isLoopbackHost(secure.hostname) ? await this.#probe(secure, signal) : secure;
    return this.#origin;
  }

  async #probe(secure: URL, signal: AbortSignal | undefined): Promise<URL> {
    const ping = { tls: this.#tls, maxRedirects: 0, signal };
    try {
      const response = await this.client.request({ ...ping, url: new URL('/v2/', secure), retry: false });
      await response.discard();
      return secure;
    } catch (error) {
      if (!isStkError(error, 'network') || isCertificateError(error)) throw error;
    }
    const plain = new URL(`http://${connectionHost(this.host)}`);
    const response = await this.client.request({ ...ping, url: new URL('/v2/', plain) });
    await response.discard();
    return plain;
  }
}
