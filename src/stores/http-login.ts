import { basicAuthorization, findCredentials, type CredentialEnvironment } from '../registry/credentials.ts';

/** A URL as it is asked for, and the header that goes with it. */
export interface HttpLogin {
  readonly url: URL;
  /** Value of an `Authorization` header for the URL's own origin. */
  readonly authorization: string | undefined;
}

/**
 * The login for a URL: the one in it, or that of the longest prefix of host[:port]/path among the entries of the user's
 * credentials files. Helpers are not asked: they know registries, and one that fails must not keep a file from those
 * who need no login.
 */
export async function httpLogin(text: string, environment: CredentialEnvironment): Promise<HttpLogin> {
  const url = new URL(text);
  const { username, password } = url;
  if (username !== '' || password !== '') {
    url.username = url.password = '';
    return { url, authorization: basicAuthorization({ username: decoded(username), password: decoded(password) }) };
  }
  const place = url.pathname.split('/').filter(part => part !== '');
  const found = await findCredentials(url.host, place.join('/'), { environment });
  return { url, authorization: found?.kind === 'password' ? basicAuthorization(found) : undefined };
}

/** A lone percent sign means itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
