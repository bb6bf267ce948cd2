import { StkError } from '../core/errors.ts';
import { SingleFlight } from '../core/single-flight.ts';
import type { TlsSettings } from '../host/http-agents.ts';
import type { HttpClient, HttpRequest } from '../host/http.ts';
import { isLoopbackHost, showUrl } from '../host/http-url.ts';
import type { Challenge } from './challenge.ts';
import { basicAuthorization, type Credentials } from './credentials.ts';

/** How a token is asked for (distribution project, "Token Authentication Specification"). */
export interface TokenRealm {
  readonly url: URL;
  readonly service: string | undefined;
  /** Origin of the registry that asked for it: nobody else is shown the client certificate. */
  readonly registry: URL;
}

interface Token {
  readonly value: string;
  readonly refreshAtMs: number;
}

export interface TokenSourceOptions {
  readonly client: HttpClient;
  readonly credentials: Credentials | undefined;
  readonly tls?: TlsSettings | undefined;
}

const MAX_TOKEN_BYTES = 64 * 1024;
const MAX_REALM_LENGTH = 2048;
const MAX_SCOPES = 16;
/** The specification's life of a token whose answer does not say. */
const DEFAULT_LIFE_SECONDS = 60;
const MAX_LIFE_SECONDS = 24 * 3600;

/** Bearer tokens of one registry, kept until shortly before they expire. Not for several credentials. */
export class TokenSource {
  readonly #options: TokenSourceOptions;
  readonly #tokens = new Map<string, Token>();
  readonly #flights = new SingleFlight<string, Token>();

  constructor(options: TokenSourceOptions) {
    this.#options = options;
  }

  /** A token for all of these scopes. Throws `unauthorized` if the token server refuses. */
  async token(realm: TokenRealm, scopes: readonly string[], signal?: AbortSignal): Promise<string> {
    const known = this.known(realm, scopes);
    if (known !== undefined) return known;
    const key = keyOf(realm, scopes);
    // Whoever asks second shares the first one's request, and with it the first one's signal: ask again if that fired.
    for (;;) {
      try {
        const fresh = await this.#flights.run(key, () => this.#fetch(realm, scopes, signal));
        this.#tokens.set(key, fresh);
        return fresh.value;
      } catch (error) {
        if (signal?.aborted || !(error instanceof StkError) || error.code !== 'interrupted') throw error;
      }
    }
  }

  /** A token for exactly these scopes that is there already. */
  known(realm: TokenRealm, scopes: readonly string[]): string | undefined {
    const token = this.#tokens.get(keyOf(realm, scopes));
    return token && this.#options.client.now() < token.refreshAtMs ? token.value : undefined;
  }

  /** Forgets a token that was refused. */
  forget(value: string): void {
    for (const [key, token] of this.#tokens) if (token.value === value) this.#tokens.delete(key);
  }

  async #fetch(realm: TokenRealm, scopes: readonly string[], signal: AbortSignal | undefined): Promise<Token> {
    const { client, credentials, tls } = this.#options;
    const askedAtMs = client.now();
    const response = await client.request({
      ...tokenRequest(realm, scopes, credentials),
      tls,
      certificateFor: realm.registry,
      signal,
    });
    if (!response.isSuccess) {
      const { status } = response;
      await response.discard();
      const refused = status === 400 || status === 401 || status === 403;
      throw new StkError(
        refused ? 'unauthorized' : 'registry',
        `${showUrl(realm.url)} gave no token: status ${status}`,
        {
          hint: credentials ? 'check the user name and password: stk login' : 'log in first: stk login',
          facts: { url: showUrl(realm.url), status },
        },
      );
    }
    return parseToken(await response.bytes(MAX_TOKEN_BYTES), realm, askedAtMs);
  }
}

function keyOf(realm: TokenRealm, scopes: readonly string[]): string {
  return JSON.stringify([realm.url.href, realm.service, ...scopes.toSorted()]);
}

/** A refresh token travels in a POST that follows no redirect; a password in a header that stays with its origin. */
function tokenRequest(
  realm: TokenRealm,
  scopes: readonly string[],
  credentials: Credentials | undefined,
): Pick<HttpRequest, 'method' | 'url' | 'headers' | 'body' | 'maxRedirects'> {
  if (credentials?.kind === 'identity-token') {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: 'stk',
      refresh_token: credentials.token,
    });
    if (realm.service !== undefined) form.set('service', realm.service);
    if (scopes.length > 0) form.set('scope', scopes.join(' '));
    return {
      method: 'POST',
      url: realm.url,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: Buffer.from(form.toString()),
      maxRedirects: 0,
    };
  }
  const url = new URL(realm.url);
  if (realm.service !== undefined) url.searchParams.set('service', realm.service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  if (credentials?.kind !== 'password') return { url };
  url.searchParams.set('account', credentials.username);
  return { url, headers: { authorization: basicAuthorization(credentials) } };
}

function parseToken(bytes: Buffer, realm: TokenRealm, askedAtMs: number): Token {
  let answer: unknown;
  try {
    answer = JSON.parse(bytes.toString('utf8'));
  } catch {
    answer = undefined;
  }
  const members = typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {};
  // Some send one of the two empty.
  const value = [members['token'], members['access_token']].find(member => typeof member === 'string' && member !== '');
  // What is not printable ASCII could not be sent in a header, or would end it.
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) {
    throw new StkError('registry', `${showUrl(realm.url)} answered without a token`, {
      facts: { url: showUrl(realm.url) },
    });
  }
  // A number, by the specification; some write it as text.
  const said = Number(members['expires_in']);
  const life = said > 0 ? Math.min(said, MAX_LIFE_SECONDS) : DEFAULT_LIFE_SECONDS;
  const marginSeconds = Math.min(15, life / 4);
  return { value, refreshAtMs: askedAtMs + (life - marginSeconds) * 1000 };
}

/**
 * Where a bearer challenge sends us. Credentials go to https only, or, spoken in clear, to the registry's own host,
 * or within this machine; so a realm that is none of these is `unauthorized`, as nothing good can come from it.
 */
export function trustedRealm(challenge: Challenge, registry: URL): TokenRealm {
  const realm = challenge.parameters.get('realm') ?? '';
  const service = challenge.parameters.get('service');
  if (realm.length > MAX_REALM_LENGTH || !URL.canParse(realm)) throw badRealm(registry, 'names no token server');
  const url = new URL(realm);
  if (url.username !== '' || url.password !== '')
    throw badRealm(registry, 'names a token server with credentials in it');
  const inClear = url.protocol === 'http:' && registry.protocol === 'http:';
  const isOwn = url.hostname === registry.hostname;
  const isLocal = isLoopbackHost(url.hostname) && isLoopbackHost(registry.hostname);
  const trusted = url.protocol === 'https:' || (url.protocol === 'http:' && isLocal) || (inClear && isOwn);
  if (!trusted) throw badRealm(registry, `sends credentials to ${showUrl(url)}, which is not https`);
  return { url, service, registry };
}

/** Scopes of a challenge, for requests whose needs only the registry knows. */
export function challengeScopes(challenge: Challenge): readonly string[] {
  const text = challenge.parameters.get('scope') ?? '';
  return text
    .split(' ')
    .filter(scope => scope !== '')
    .slice(0, MAX_SCOPES);
}

function badRealm(registry: URL, problem: string): StkError {
  return new StkError('unauthorized', `${showUrl(registry)} asks for a login but ${problem}`, {
    hint: 'the registry is misconfigured or not the one that was meant; no credentials were sent',
    facts: { url: showUrl(registry) },
  });
}
