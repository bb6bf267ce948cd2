import { HttpClient } from '../../host/http.ts';
import { askDockerCredentialHelper } from '../../host/tools/docker-credential.ts';
import { parseRegistryReference, storeReference } from '../../oci/reference.ts';
import { findCredentials } from '../../registry/credentials.ts';
import { RegistryStore } from '../../registry/registry-store.ts';
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

/** Opens the repository of a `docker://` reference with the user's credentials and says what to ask it for. */
export async function openRegistry(
  session: Session,
  url: string,
  insecure: boolean,
): Promise<{ readonly store: RegistryStore; readonly reference: string }> {
  const reference = parseRegistryReference(url);
  const { environment } = session;
  const credentials = await findCredentials(reference.host, reference.repository, {
    environment: {
      home: environment['HOME'],
      registryAuthFile: environment['REGISTRY_AUTH_FILE'],
      runtimeDir: environment['XDG_RUNTIME_DIR'],
      configHome: environment['XDG_CONFIG_HOME'],
      dockerConfig: environment['DOCKER_CONFIG'],
    },
    askHelper: (helper, server, signal) =>
      askDockerCredentialHelper(helper, server, { env: helperEnvironment(session), signal }),
    signal: session.signal,
  });
  const { host, repository } = reference;
  const store = new RegistryStore({ client: httpClient(session), host, repository, credentials, insecure });
  return { store, reference: storeReference(reference) };
}

/** Keychains need the user's own environment. */
function helperEnvironment(session: Session): Record<string, string> {
  return Object.fromEntries(
    Object.entries(session.environment).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}
