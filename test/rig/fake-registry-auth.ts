import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

export type FakeAuth =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | {
      readonly kind: 'bearer';
      /** Without them, anybody gets a token, for pulling only. */
      readonly username?: string;
      readonly password?: string;
      readonly refreshToken?: string;
      /** `expires_in`; default 300. */
      readonly lifeSeconds?: number;
    };

/** Issues tokens and checks them, as a registry and its token server do together. */
export class FakeTokenServer {
  readonly #auth: FakeAuth;
  readonly #tokens = new Map<string, ReadonlySet<string>>();
  issued = 0;

  constructor(auth: FakeAuth) {
    this.#auth = auth;
  }

  /** The status and body for a request to the token endpoint. */
  answer(request: IncomingMessage, query: URLSearchParams, form: URLSearchParams): { status: number; body: string } {
    const auth = this.#auth;
    if (auth.kind !== 'bearer') return { status: 404, body: '{}' };
    const byRefresh = auth.refreshToken !== undefined && form.get('refresh_token') === auth.refreshToken;
    const known = byRefresh || isBasic(request, auth.username, auth.password);
    if (!known && (request.headers.authorization !== undefined || form.has('refresh_token'))) {
      return { status: 401, body: '{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}' };
    }
    const scopes = [...query.getAll('scope'), ...form.getAll('scope')].flatMap(text => text.split(' '));
    const granted = new Set<string>();
    for (const scope of scopes) {
      const colon = scope.lastIndexOf(':');
      for (const action of scope.slice(colon + 1).split(',')) {
        if (known || (auth.username === undefined && action === 'pull'))
          granted.add(`${scope.slice(0, colon)}:${action}`);
      }
    }
    const token = randomBytes(12).toString('hex');
    this.#tokens.set(token, granted);
    this.issued++;
    return { status: 200, body: JSON.stringify({ token, expires_in: auth.lifeSeconds ?? 300 }) };
  }

  /** The challenge to answer with; `undefined` if the request may pass. */
  challenge(request: IncomingMessage, realm: string, repository: string, action: 'pull' | 'push'): string | undefined {
    const auth = this.#auth;
    if (auth.kind === 'none') return undefined;
    if (auth.kind === 'basic') {
      return isBasic(request, auth.username, auth.password) ? undefined : 'Basic realm="fake, with a comma"';
    }
    const token = request.headers.authorization?.replace(/^Bearer /, '') ?? '';
    const granted = this.#tokens.get(token);
    if (granted && (repository === '' || granted.has(`repository:${repository}:${action}`))) return undefined;
    const scope =
      repository === '' ? '' : `,scope="repository:${repository}:${action === 'push' ? 'pull,push' : 'pull'}"`;
    return `Bearer realm="${realm}",service="fake"${scope}`;
  }

  /** All tokens are refused from now on. */
  expire(): void {
    this.#tokens.clear();
  }
}

function isBasic(request: IncomingMessage, username: string | undefined, password: string | undefined): boolean {
  if (username === undefined) return false;
  return request.headers.authorization === `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}`;
}
