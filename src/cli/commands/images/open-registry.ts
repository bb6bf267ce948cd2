import { joinInside } from '../../../core/paths.ts';
import type { TlsSettings } from '../../../host/http-agents.ts';
import { HttpClient } from '../../../host/http.ts';
import { askDockerCredentialHelper } from '../../../host/tools/docker-credential.ts';
import {
  parseRegistryReference,
  storeReference,
  type RegistryHost,
  type RegistryReference,
} from '../../../oci/reference.ts';
import { BlobPlaces } from '../../../registry/blob-places.ts';
import { certificateDirectories, loadCertificates } from '../../../registry/certificates.ts';
import { findCredentials, type CredentialEnvironment } from '../../../registry/credentials.ts';
import { MirroredStore, type Mirror } from '../../../registry/mirrored-store.ts';
import { matchRule, pullEndpoints, readRegistryRules } from '../../../registry/registries-conf.ts';
import type { Endpoint, RegistryRule } from '../../../registry/registries-conf.ts';
import { RegistryStore } from '../../../registry/registry-store.ts';
import type { Session } from '../../session.ts';
import { userCacheDirectory } from './user-cache.ts';

let client: HttpClient | undefined;
let rules: Promise<readonly RegistryRule[]> | undefined;
const places = new Map<RegistryHost, Promise<BlobPlaces>>();
const certificates = new Map<RegistryHost, Promise<TlsSettings | undefined>>();

/** The one HTTP client of this process, with the proxies of the environment. */
export function httpClient(session: Session): HttpClient {
  if (client) return client;
  const { environment } = session;
  const pick = (name: string) => environment[name.toLowerCase()] ?? environment[name.toUpperCase()];
  const [httpProxy, httpsProxy, noProxy] = ['http_proxy', 'https_proxy', 'no_proxy'].map(pick);
  client = new HttpClient({
    userAgent: `stk/${session.version}`,
    proxy: {
      ...(httpProxy ? { httpProxy } : {}),
      ...(httpsProxy ? { httpsProxy } : {}),
      ...(noProxy ? { noProxy } : {}),
    },
  });
  // Connections that are kept for the next request would keep the process, too.
  session.scope.use(client);
  return client;
}

/** A repository, and what to ask it for. */
interface OpenedRegistry<S> {
  readonly store: S;
  readonly reference: string;
}

/**
 * Opens the repository of a `docker://` reference for reading, with the user's credentials, certificates and mirrors. A mirror
 * may be behind: what decides about something to be written is read with `openRegistryItself`.
 */
export async function openRegistry(
  session: Session,
  url: string,
  insecure: boolean,
): Promise<OpenedRegistry<RegistryStore | MirroredStore>> {
  const { store: primary, reference, endpoints } = await openPrimary(session, url, insecure);
  const [only] = endpoints;
  const isItself = only?.host === reference.host && only.repository === reference.repository;
  if (endpoints.length === 1 && isItself) return { store: primary, reference: storeReference(reference) };
  const mirrors: Mirror[] = [];
  for (const endpoint of endpoints) {
    const store = await openRepository(session, endpoint, insecure || endpoint.insecure);
    mirrors.push({ store, pull: endpoint.pull });
  }
  const onFallback = (text: string) => {
    if (session.global.debug) session.stderr.write(`mirror passed over: ${text}\n`);
  };
  return { store: new MirroredStore(primary, mirrors, onFallback), reference: storeReference(reference) };
}

/** The repository at the registry that the reference names, whose answers no mirror gives. */
export async function openRegistryItself(
  session: Session,
  url: string,
  insecure: boolean,
): Promise<OpenedRegistry<RegistryStore>> {
  const { store, reference } = await openPrimary(session, url, insecure);
  return { store, reference: storeReference(reference) };
}

/** Throws `unauthorized` for a registry that the configuration blocks. */
async function openPrimary(
  session: Session,
  url: string,
  insecure: boolean,
): Promise<{
  readonly store: RegistryStore;
  readonly reference: RegistryReference;
  readonly endpoints: readonly Endpoint[];
}> {
  const reference = parseRegistryReference(url);
  const { HOME: home, CONTAINERS_REGISTRIES_CONF: registriesConf } = session.environment;
  rules ??= readRegistryRules({ home, registriesConf });
  const rule = matchRule(await rules, reference);
  const endpoints = pullEndpoints(await rules, reference);
  const store = await openRepository(session, reference, insecure || rule?.insecure === true);
  return { store, reference, endpoints };
}

type Place = Pick<Endpoint, 'host' | 'repository'>;

async function openRepository(session: Session, place: Place, insecure: boolean): Promise<RegistryStore> {
  const { host, repository } = place;
  const credentials = await findCredentials(host, repository, {
    environment: credentialEnvironment(session),
    askHelper: (helper, server, signal) =>
      askDockerCredentialHelper(helper, server, { env: helperEnvironment(session), signal }),
    signal: session.signal,
  });
  const tls = await registryCertificates(session, host);
  const seen = await blobPlaces(session, host);
  return new RegistryStore({ client: httpClient(session), host, repository, credentials, tls, insecure, places: seen });
}

/** One object for each host, kept at the end of the command. */
function blobPlaces(session: Session, host: RegistryHost): Promise<BlobPlaces> {
  let found = places.get(host);
  if (!found) {
    found = userCacheDirectory(session.environment).then(directory => {
      const opened = new BlobPlaces(host, directory && joinInside(directory, 'blob-places'));
      session.scope.defer(() => opened.save());
      return opened;
    });
    places.set(host, found);
  }
  return found;
}

/** One object for each host: connections are pooled by it. */
export function registryCertificates(session: Session, host: RegistryHost): Promise<TlsSettings | undefined> {
  let found = certificates.get(host);
  if (!found) {
    found = loadCertificates(host, certificateDirectories(session.environment['HOME']));
    certificates.set(host, found);
  }
  return found;
}

export function credentialEnvironment({ environment }: Session): CredentialEnvironment {
  return {
    home: environment['HOME'],
    registryAuthFile: environment['REGISTRY_AUTH_FILE'],
    runtimeDir: environment['XDG_RUNTIME_DIR'],
    configHome: environment['XDG_CONFIG_HOME'],
    dockerConfig: environment['DOCKER_CONFIG'],
  };
}

/** Keychains need the user's own environment. */
function helperEnvironment(session: Session): Record<string, string> {
  return Object.fromEntries(
    Object.entries(session.environment).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}
