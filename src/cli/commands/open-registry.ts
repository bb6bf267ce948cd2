import { HttpClient } from '../../host/http.ts';
import type { Session } from '../session.ts';

let client: HttpClient | undefined;

/** The one HTTP client of this process, with the proxies of the environment. */
export function httpClient(session: Session): HttpClient {
  const { environment } = session;
  const pick = (name: string) => environment[name.toLowerCase()] ?? environment[name.toUpperCase()];
  const [httpProxy, httpsProxy, noProxy] = ['http_proxy', 'https_proxy', 'no_proxy'].map(pick);
  return (client ??= new HttpClient({
    userAgent: `stk/${session.version}`,
    proxy: {
      ...(httpProxy ? { httpProxy } : {}),
      ...(httpsProxy ? { httpsProxy } : {}),
      ...(noProxy ? { noProxy } : {}),
    },
  }));
}
